"""Weight files of other frameworks: read to named arrays, mapped to a backbone, written as Keras weights."""
