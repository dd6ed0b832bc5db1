"""Behind the invoke tasks, on the operator's machine. Starts the stage scripts, never imports them."""
