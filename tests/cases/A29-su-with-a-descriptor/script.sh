su root -c cat < "$K"
