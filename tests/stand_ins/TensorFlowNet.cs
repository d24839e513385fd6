// Stands in for TensorFlow.NET 0.150: the members that docs/export.md uses, signatures as there.
// Its graph answers with the mean of red as age and the mean of blue / 255 as gender, so that a wrong order shows.
using System;
using System.IO;
using System.Linq;

namespace Tensorflow
{
    public interface ITensorOrOperation { }

    public class Shape
    {
        public readonly long[] dims;
        public Shape(params long[] dims) { this.dims = dims; }
    }

    public class Tensor : ITensorOrOperation
    {
        public string Name;
        public float[] Values;
        public long[] Dims;
        public T[] ToArray<T>() where T : struct { return (T[])(object)Values; }
    }

    public class Operation : ITensorOrOperation
    {
        readonly string name;
        public Operation(string name) { this.name = name; }
        public Tensor[] outputs { get { return new[] { new Tensor { Name = name } }; } }
    }

    public class Graph
    {
        public bool Import(string file_path, string prefix = "") { return File.ReadAllBytes(file_path).Length > 0; }
        public Operation OperationByName(string name) { return new Operation(name); }
    }

    public class FeedItem
    {
        public readonly object Key, Value;
        public FeedItem(object key, object val) { Key = key; Value = val; }
    }

    public class Session : IDisposable
    {
        public NumPy.NDArray run(Tensor fetche, params FeedItem[] feed_dict)
        {
            var fed = (NumPy.NDArray)feed_dict.Single().Value;
            if (((Tensor)feed_dict[0].Key).Name != "image" || !fed.Dims.SequenceEqual(new long[] { 1, 64, 64, 3 }))
                throw new Exception("fed " + string.Join(",", fed.Dims));
            bool age = fetche.Name == "age";
            if (!age && fetche.Name != "gender") throw new Exception("fetched " + fetche.Name);
            double mean = fed.Values.Where((value, place) => place % 3 == (age ? 0 : 2)).Average();
            return new NumPy.NDArray(new[] { (float)(age ? mean : mean / 255) }, new Shape(1, 1));
        }

        public (NumPy.NDArray, NumPy.NDArray) run(
            (ITensorOrOperation, ITensorOrOperation) fetches, params FeedItem[] feed_dict)
        {
            return (run((Tensor)fetches.Item1, feed_dict), run((Tensor)fetches.Item2, feed_dict));
        }

        public NumPy.NDArray[] run(object fetches, params FeedItem[] feed_dict) { throw new Exception("untyped"); }
        public void Dispose() { }
    }

    public class tensorflow
    {
        public Session Session(Graph graph) { return new Session(); }
    }

    public static class Binding
    {
        public static readonly tensorflow tf = new tensorflow();
    }
}

namespace Tensorflow.NumPy
{
    public class NDArray : Tensor
    {
        public NDArray(Array value, Shape shape = null) { Values = (float[])value; Dims = shape.dims; }
    }
}
