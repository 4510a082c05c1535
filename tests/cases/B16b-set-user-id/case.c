#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char room[4];
  return read(open(argv[argc - 1], O_RDONLY), room, sizeof room) != sizeof room;
}
