"""What clients see of job, printer and files, over HTTP and on sockets alike; knows of neither."""
