mkdir d; touch d/a d/b d/c
find d -type f -exec /bin/true {} \;
find d -type f | xargs -n 1 -P 3 /bin/true
