rm "$WORK/copied-cat"
