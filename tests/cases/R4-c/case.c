#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) { char b[8]; int f = open(getenv("K"), O_RDONLY); return read(f, b, 8) < 1; }
