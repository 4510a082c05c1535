text=$(<"$K")
test -n "$text"
