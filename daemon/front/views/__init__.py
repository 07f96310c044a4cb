"""What clients see, computed once for HTTP and push."""
