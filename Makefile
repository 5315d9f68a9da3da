# Two commands do everything on a bare Debian machine with the Swift toolchain:
#   make run     fetch the default model, build, and stream an answer
#   make test    fetch the default model, build, run the README's commands and all tests

MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
PROMPT ?= Why is the sky blue?
# Imports only point down (docs/ARCHITECTURE.md); the build enforces it.
SWIFT_FLAGS := --explicit-target-dependency-import-check error
TEST_FLAGS := -Xswiftc -enable-testing

.PHONY: run test build deps model neon format clean

run: model build
	.build/release/martlet run $(MODEL) "$(PROMPT)"

build: deps
	swift build -c release $(SWIFT_FLAGS) --product martlet

# Numbers are crunched in tests, so they run optimized: in debug builds the C kernels are 60 times slower. One test at a
# time: those on the real model keep all processors busy, and the others would wait behind them.
test: deps model
	swift build -c release $(SWIFT_FLAGS) $(TEST_FLAGS) --build-tests
	scripts/check-neon.sh
	scripts/check-readme.sh
	scripts/check-example.sh $(SWIFT_FLAGS) $(TEST_FLAGS)
	swift test -c release $(SWIFT_FLAGS) $(TEST_FLAGS) --skip-build --no-parallel

# The libraries that decode images, where they are missing.
deps:
	scripts/install-deps.sh

model: $(MODEL)
$(MODEL):
	scripts/fetch-model.sh $(MODEL)

# Install what running the NEON kernels under qemu takes, and run them.
neon:
	scripts/check-neon.sh --install

format:
	swift format -i -r Package.swift Sources Tests Examples

clean:
	swift package clean
