unshare -Urm cat "$K"
