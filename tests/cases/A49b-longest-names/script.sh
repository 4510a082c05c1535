set -e
export LC_ALL=C
# Bytes that are no UTF-8, as many as a name may have.
name=$(printf '\377%.0s' $(seq 255))
folder=$K_DIR
while [ $((4095 - ${#folder})) -gt 257 ]; do folder=$folder/$name; done
mkdir -p "$folder"
file=$folder/${name:0:$((4094 - ${#folder}))}
test ${#file} = 4095
echo secret > "$file"
note deep "$file"
cat "$file"
