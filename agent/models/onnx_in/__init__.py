"""Networks in ONNX files, as torch modules. ``onnx`` and ``onnx2torch`` are an extra."""
