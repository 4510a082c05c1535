cat "/proc/self/root$K"
