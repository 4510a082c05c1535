unshare -m bash -ec '
  mkdir layers merged
  mount -t tmpfs none layers
  mkdir layers/upper layers/work
  mount -t overlay overlay -o "lowerdir=$K_DIR,upperdir=layers/upper,workdir=layers/work" merged
  echo more >> merged/k
  cat merged/k'
