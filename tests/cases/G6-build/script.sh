set -e
mkdir source
tar -C source --strip-components 1 -xf /usr/src/tree.tar
make -C source -j2
source/tree source
