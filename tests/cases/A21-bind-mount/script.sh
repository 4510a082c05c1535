unshare -m bash -ec 'mkdir m; mount --bind "$K_DIR" m; cat m/k'
