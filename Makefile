# The few commands that a person needs. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help deps build test check tidy asan tsan clean

help:   ## list the commands
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12
deps:   ## install what the build needs
	scripts/deps
build: deps  ## build the dev preset
	cmake --preset dev >/dev/null && cmake --build --preset dev
test: build  ## run every test
	scripts/test dev
check: deps  ## check the house rules
	scripts/check
tidy: build  ## run clang-tidy over every source
	scripts/tidy
asan: deps  ## run the tests under AddressSanitizer and UBSan
	cmake --preset asan-ubsan >/dev/null && cmake --build --preset asan-ubsan && scripts/test asan-ubsan
tsan: deps  ## run the tests under ThreadSanitizer
	cmake --preset tsan >/dev/null && cmake --build --preset tsan && scripts/test tsan
clean:  ## remove the build trees
	rm -rf build
