awk "{ print }" "$K"
