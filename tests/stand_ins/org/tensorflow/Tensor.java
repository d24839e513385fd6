package org.tensorflow;

import java.nio.FloatBuffer;

/** Stands in for the class of TensorFlow 1.15's Java library: the members that docs/export.md uses. */
public final class Tensor<T> implements AutoCloseable {
  final long[] shape;
  final float[] values;

  Tensor(long[] shape, float[] values) {
    this.shape = shape;
    this.values = values;
  }

  public static Tensor<Float> create(long[] shape, FloatBuffer data) {
    float[] values = new float[data.remaining()];
    data.get(values);
    return new Tensor<>(shape, values);
  }

  public <U> U copyTo(U dst) {
    ((float[][]) dst)[0][0] = values[0];
    return dst;
  }

  @Override
  public void close() {}
}
