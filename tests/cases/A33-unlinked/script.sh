exec 5< "$K"
rm "$K"
cat <&5
