package org.tensorflow;

/** Stands in for the class of TensorFlow 1.15's Java library: the members that docs/export.md uses. */
public final class Graph implements AutoCloseable {
  public void importGraphDef(byte[] graphDef) {
    if (graphDef.length == 0) throw new IllegalArgumentException("an empty graph");
  }

  @Override
  public void close() {}
}
