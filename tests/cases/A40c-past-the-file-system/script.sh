device=$(findmnt -no SOURCE -T "$K")
note device "$device"
sync
debugfs -R "cat <$(stat -c %i "$K")>" "$device" | cmp - "$K"
