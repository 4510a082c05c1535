d="$K_DIR"
for n in $(seq 1 25); do d="$d/d$n"; done
mkdir -p "$d"
name=$(printf 'a\nb" (deleted)\377')
echo secret > "$d/$name"
note odd "$d/$name"
cat "$d/$name"
