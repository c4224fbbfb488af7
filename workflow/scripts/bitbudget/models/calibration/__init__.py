"""What a method of quantization looks at, and what reaches the layers then."""
