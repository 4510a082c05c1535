unshare --user --map-root-user --pid --fork --mount-proc cat "$K"
