# The few commands that a person needs. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help deps build test demo check tidy asan tsan fuzz soak interop deb installer deb-test charts k8s-test spark-test spark-scale mlflow-test bench-quality clean

help:   ## list the commands
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12
deps:   ## install what the build needs
	scripts/deps
build: deps  ## build the release binary, build/release/skerry
	cmake --preset release >/dev/null && cmake --build --preset release --target skerry
demo: build  ## run the whole loop; DATA=mine.csv LABEL=column [IGNORE=a,b] for a table of your own
	build/release/skerry demo $(if $(DATA),--data '$(DATA)') $(if $(LABEL),--label '$(LABEL)') $(if $(IGNORE),--ignore '$(IGNORE)') $(DEMO_ARGS)
test:   ## run every test
	scripts/deps --test
	cmake --preset release >/dev/null && cmake --build --preset release && scripts/test release
interop:  ## run the tests beside other tools that are heavy to build or install (cosign, modctl, podman, containerd, versitygw)
	scripts/deps --interop
	cmake --preset release >/dev/null && cmake --build --preset release --target oci_tests skerry && scripts/test release oci_tests
	PATH="$$(scripts/deps --print-peers)/bin:$$(scripts/deps --print-interop)/bin:$$PATH" python3 tests/registry_test.py Clients
	PATH="$$(scripts/deps --print-peers)/bin:$$(scripts/deps --print-versitygw)/bin:$$PATH" SKERRY_MOTO=$$(scripts/deps --print-moto) python3 tests/registry_s3_test.py
spark-test: build  ## train on a real Spark cluster of two workers (installs Spark: 0.9 GB)
	scripts/deps --spark
	for test in spark livy spark_s3 hub_train training_doc; do \
	  SKERRY_WHOLE=1 SKERRY_SPARK=$$(scripts/deps --print-spark) SKERRY_SPARK_S3=$$(scripts/deps --print-spark-s3) SKERRY_MOTO=$$(scripts/deps --print-moto) python3 tests/$${test}_test.py || exit 1; done
spark-scale: build  ## measure Spark: 10,000,000 made rows, and with SKERRY_TEST_DATA all of KDD'99 10 % (needs 10 GB)
	scripts/deps --spark
	SKERRY_SPARK=$$(scripts/deps --print-spark) bench/spark.py rows
	test -z "$$SKERRY_TEST_DATA" || SKERRY_SPARK=$$(scripts/deps --print-spark) bench/spark.py kdd99 "$$SKERRY_TEST_DATA/kdd99/kddcup.data_10_percent.gz"
mlflow-test: build  ## tell trainings to a real MLflow server and pack models that MLflow saved (installs it: 0.4 GB)
	scripts/deps --mlflow
	for test in mlflow mlflow_model training_doc; do SKERRY_MLFLOW_PYTHON=$$(scripts/deps --print-mlflow)/bin/python python3 tests/$${test}_test.py || exit 1; done
deb: build  ## make the Debian package, build/release/skerry_VERSION_amd64.deb
	cd build/release && cpack -G DEB >/dev/null && ls -l skerry_*.deb
installer: build  ## make the offline installer, build/release/skerry-VERSION-linux-amd64.tar.gz
	packaging/installer/make
deb-test: deb installer  ## install, run, upgrade and remove both in clean Debian roots (needs root; makes the roots once)
	scripts/deps --deb
	SKERRY_WHOLE=1 python3 tests/deb_test.py
charts:  ## render the Helm charts into deploy/k8s and test them (builds Helm once, some minutes of Go)
	scripts/deps --kubernetes
	scripts/charts
	K=$$(scripts/deps --print-kubernetes); PATH="$$K/bin:$$PATH" SKERRY_KUBERNETES_VALIDATE=$$K/venv/bin/kubernetes-validate python3 tests/charts_test.py
k8s-test: build  ## install the charts on a real Kubernetes of one node and break what is under them (needs root; builds Kubernetes once, some minutes of Go)
	scripts/deps --k8s-test
	export PATH="$$(scripts/deps --print-kubernetes)/bin:$$PATH" SKERRY_KUBERNETES=$$(scripts/deps --print-k8s) SKERRY_WHOLE=1; \
	  python3 tests/k8s_test.py && python3 tests/k8s_airgap_test.py
check: deps  ## check the house rules
	scripts/check
tidy: deps  ## run clang-tidy over every source
	scripts/tidy
# TESTS narrows what is built and run: make tsan TESTS="http_tests serve_tests".
asan: deps  ## run the tests under AddressSanitizer and UBSan
	cmake --preset asan-ubsan >/dev/null && cmake --build --preset asan-ubsan $(if $(TESTS),--target $(TESTS)) && scripts/test asan-ubsan $(TESTS)
tsan: deps  ## run the tests under ThreadSanitizer
	cmake --preset tsan >/dev/null && cmake --build --preset tsan $(if $(TESTS),--target $(TESTS)) && scripts/test tsan $(TESTS)
fuzz:   ## read what libFuzzer makes of scoring requests, of archives and of TUF metadata, SECONDS (600) each, under AddressSanitizer and UBSan
	scripts/deps --fuzz
	cmake --preset fuzz >/dev/null && cmake --build --preset fuzz --target infer_request_fuzzer tar_fuzzer tuf_fuzzer
	mkdir -p build/fuzz/corpus build/fuzz/tar_corpus build/fuzz/tuf_corpus
	build/fuzz/infer_request_fuzzer -max_total_time=$(or $(SECONDS),600) -max_len=4096 -timeout=10 -print_final_stats=1 \
	  -dict=tests/fuzz/infer_request.dict -artifact_prefix=build/fuzz/ build/fuzz/corpus tests/fuzz/infer_request
	build/fuzz/tar_fuzzer -max_total_time=$(or $(SECONDS),600) -max_len=8192 -timeout=10 -print_final_stats=1 \
	  -artifact_prefix=build/fuzz/ build/fuzz/tar_corpus tests/fuzz/tar
	build/fuzz/tuf_fuzzer -max_total_time=$(or $(SECONDS),600) -max_len=4096 -timeout=10 -print_final_stats=1 \
	  -dict=tests/fuzz/tuf.dict -artifact_prefix=build/fuzz/ build/fuzz/tuf_corpus tests/fuzz/tuf
soak: build  ## MODEL=file.onnx: 30 minutes of load with a swap a second; every power cut and failing call; 2,000 kills: hours
	scripts/deps --bench
	bench/soak '$(MODEL)' $(SOAK_ARGS)
	cmake --build --preset release --target outbox_power_tests sync_tests
	SKERRY_WHOLE=1 build/release/outbox_power_tests
	SKERRY_WHOLE=1 build/release/sync_tests --gtest_filter="LinkFault*"
	tests/crash_storm.py $(STORM_ARGS)
bench-quality: build  ## how good trained models are beside scikit-learn's, on the same folds, with intervals
	scripts/deps --quality
	$$(scripts/deps --print-quality) bench/quality $(QUALITY_ARGS)
clean:  ## remove the build trees
	rm -rf build
