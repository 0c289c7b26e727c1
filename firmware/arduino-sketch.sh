#!/bin/sh
# A sketch folder for the Arduino IDE: build/esp32cam, with the firmware's own files in it.
#
#   firmware/arduino-sketch.sh [BOARD]      BOARD_AI_THINKER unless another of src/boards.h is named
set -eu
cd "$(dirname "$0")"
board=${1:-BOARD_AI_THINKER}
grep -q "defined($board)" src/boards.h || { echo "src/boards.h knows no $board" >&2; exit 2; }

sketch=../build/esp32cam
rm -rf "$sketch"
mkdir -p "$sketch/src/camcore"
cp src/*.h src/*.cpp "$sketch/src"
# The IDE has no include path of ours: within the core, a file finds the others beside itself.
for file in lib/camcore/src/camcore/*.h lib/camcore/src/camcore/*.cpp; do
  sed 's|#include "camcore/|#include "|' "$file" > "$sketch/src/camcore/$(basename "$file")"
done
echo "// setup() and loop() are in src/main.cpp." > "$sketch/esp32cam.ino"
echo "-D $board" > "$sketch/build_opt.h"
echo "$(cd "$sketch" && pwd)/esp32cam.ino"
