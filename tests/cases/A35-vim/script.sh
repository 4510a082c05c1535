vim.tiny -n -u NONE -es -c "w! $WORK/out" -c "q!" "$K"
test -s "$WORK/out"
