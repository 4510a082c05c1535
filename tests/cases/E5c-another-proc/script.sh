sleep 60 & other=$!
until [ "$(cat "/proc/$other/comm")" = sleep ]; do :; done
mkdir "$WORK/p"
unshare -m bash -ec '
  mount -t proc other "$WORK/p"
  cat "$WORK/p/'"$other"'/environ" > "$WORK/out"'
ln -s "/proc/$other/environ" "$WORK/link"
cat "$WORK/link" > "$WORK/out"
(cd "/proc/$other/task" && cat "./../task/../environ" > "$WORK/out")
test -s "$WORK/out"
kill "$other"
