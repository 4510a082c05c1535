mkdir upper work merged
unshare -m bash -c "
    mount -t tmpfs none '$WORK/upper' && mkdir '$WORK/upper/u' '$WORK/upper/w' &&
    mount -t overlay overlay -o 'lowerdir=$K_DIR,upperdir=$WORK/upper/u,workdir=$WORK/upper/w' '$WORK/merged' &&
    cat '$WORK/merged/k'"
