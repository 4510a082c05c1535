cp --reflink=auto "$K" "$WORK/copy"
cmp "$K" "$WORK/copy" || exit 1
sleep 1 & tail --pid=$! -f "$K" > "$WORK/followed"
. "$K" 2> "$WORK/errors"
exec 3< "$K"
read -rN 3 -u 3 x
mapfile -c 1 -C 'true' lines < "$K"
xxd "$K" > /dev/null
sort "$K" > /dev/null
