// Stands in for AgeEstimatorSharp 1.0.2: the members that docs/export.md uses, signatures as there; it does nothing.
using System.Collections.Generic;

namespace AgeEstimatorSharp.ImageProcessing.Locator
{
    public interface ILocatable { }
    public class FaceLocatorDlib : ILocatable { public FaceLocatorDlib(float expandRatio = 1.2f) { } }
}

namespace AgeEstimatorSharp.ImageProcessing.Resizer
{
    public interface IResizable { }
    public class FaceResizer : IResizable { }
}

namespace AgeEstimatorSharp.Preprocessor
{
    public interface IProcessor { }
    public class MeanPreprocessor : IProcessor { public MeanPreprocessor(string meanJsonPath) { } }
    public class DividePreprocessor : IProcessor { public DividePreprocessor(double rate) { } }
}

namespace AgeEstimatorSharp.TensorflowHelper
{
    public struct ModelConfig
    {
        public string ModelPath { get; set; }
        public List<string> NodeNames { get; set; }
    }

    public interface IRunnable { ModelConfig Config { set; } }
    public class PbRunner : IRunnable { public ModelConfig Config { set { } } }
}

namespace AgeEstimatorSharp.Predictor
{
    using ImageProcessing.Locator;
    using ImageProcessing.Resizer;
    using Preprocessor;
    using TensorflowHelper;

    public enum Gender { Male = 0, Female = 1, NotPredict = -1 }

    public class Result
    {
        public Gender Gender { get; set; }
        public float Age { get; set; }
    }

    public class AgeAndGenderPredictor
    {
        public AgeAndGenderPredictor(
            IRunnable runner, string inputNode, string ageOutputNode, string genderOutputNode,
            int width = 150, int height = 150, int depth = 3) { }

        public ILocatable Locator { get; set; }
        public IResizable Resizer { get; set; }
        public List<IProcessor> Preprocessors { get; set; }
        public List<Result> Fit(string imagePath) { return new List<Result>(); }
    }
}
