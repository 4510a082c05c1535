perl -ne "print" "$K"
