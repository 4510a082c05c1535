python3 -c "import os, sys; os.truncate(sys.argv[1], 0)" "$K"
