mkdir "$WORK/p"
cp /bin/true "$WORK/p/true"
SHELL=/bin/sh gdb -nx -batch -ex run -ex quit --args "$WORK/p/true"
