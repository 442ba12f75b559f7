"""A CUDA driver whose GPU is host memory and ONNX Runtime."""
