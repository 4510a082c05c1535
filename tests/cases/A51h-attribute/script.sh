setfattr -n user.note -v x "$K"
