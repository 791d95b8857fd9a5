# make demo: from real text to a served model. make test: prove it. Everything else is in CONTRIBUTING.md.
.PHONY: demo test check wheel setup clean

demo: setup
	tools/run python examples/demo

test: setup
	tools/test

check: setup
	tools/check

wheel: setup
	tools/wheel

setup:
	tools/setup

clean:
	rm -rf build dist logs
