# Every entry point. Each is one script in tools/, which has --help.

HOST ?= amd
KERNEL ?= build/kernel/bzImage
INITRD ?=
APPEND ?=
TESTS ?=
MINUTES ?= 10
FUZZ ?=
RUNS ?= 3
CHART ?=
SEED ?=
SET ?= all

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo 'Variables: HOST=amd|intel|snp KERNEL=FILE INITRD=FILE APPEND="words" (boot);'
	@echo 'TESTS="name ..." SET=all|base|slow|series|debug KERNEL=FILE (check-amd, check-intel, check-debug); JOBS=N'

.PHONY: demo
demo: ## from nothing to a guest on private memory, step by step
	@tools/demo

.PHONY: check
check: ## everything the project promises; table of results
	@tools/check

.PHONY: deps
deps: ## install the packages that the rest needs
	@tools/deps

.PHONY: tree
tree: ## unpack the base into build/linux and apply patches/
	@tools/tree

.PHONY: export
export: ## write the commits of build/linux back to patches/
	@tools/export

.PHONY: status
status: ## do build/linux and patches/ agree?
	@tools/status

.PHONY: rebase
rebase: ## move the base to the newest version the archive has
	@tools/rebase

.PHONY: kernel
kernel: build/linux ## build/kernel/bzImage
	@tools/kernel

.PHONY: kernel-debug
kernel-debug: build/linux ## build/kernel-debug/bzImage: KASAN, lockdep, kmemleak, fault injection
	@tools/kernel --debug

.PHONY: selftests
selftests: build/linux ## static KVM selftests in build/selftests
	@tools/selftests

.PHONY: vmm
vmm: build/linux ## the small VMM, build/vmm/gmemvm
	@tools/selftests --headers
	@$(MAKE) -s -C vmm BUILD=$(CURDIR)/build/vmm UAPI_HEADERS=$(CURDIR)/build/headers/include

.PHONY: tests
tests: selftests ## stress, fault injection and fuzzing: build/tests
	@$(MAKE) -s -C tests BUILD=$(CURDIR)/build/tests LINUX=$(CURDIR)/build/linux \
		SELFTESTS=$(CURDIR)/build/selftests UAPI_HEADERS=$(CURDIR)/build/headers/include

.PHONY: boot
boot: ## a shell on the booted kernel (HOST= KERNEL= INITRD= APPEND=)
	@tools/machine --host $(HOST) --kernel '$(KERNEL)' $(if $(INITRD),--initrd '$(INITRD)') --append '$(APPEND)'

.PHONY: check-amd
check-amd: ## selftests on the emulated AMD host (TESTS= SET= KERNEL=)
	@tools/check-host --host amd --kernel '$(KERNEL)' --set $(SET) $(TESTS)

.PHONY: check-intel
check-intel: ## selftests on the emulated Intel host (TESTS= SET= KERNEL=)
	@tools/check-host --host intel --kernel '$(KERNEL)' --set $(SET) $(TESTS)

.PHONY: check-debug
check-debug: ## the series' own selftests and fault injection on the debug kernel, AMD host (TESTS=)
	@tools/check-host --host amd --kernel build/kernel-debug/bzImage --name amd-debug --set debug --scale 5 $(TESTS)

.PHONY: check-all
check-all: ## everything, the long checks too: hours
	@tools/check-all

.PHONY: lint
lint: ## scripts, patches and the form of the series
	@tools/lint

.PHONY: bisect-check
bisect-check: ## build each prefix of the series in every configuration; its selftests at the end of a topic
	@tools/bisect-check

.PHONY: matrix
matrix: ## apply the series to every base the archive has; build the oldest and the newest
	@tools/matrix

.PHONY: cross
cross: ## build KVM for arm64 and s390
	@tools/cross

.PHONY: unchanged
unchanged: ## what the series costs who does not use it: sizes, instructions, 6.1's tests
	@tools/unchanged

.PHONY: check-kcsan
check-kcsan: build/linux ## the series' own selftests under the data race detector (HOST= TESTS=)
	@tools/kernel --config kcsan --out build/kernel-kcsan
	@tools/check-host --host $(HOST) --kernel build/kernel-kcsan/bzImage --name $(HOST)-kcsan --set series --scale 5 $(TESTS)

.PHONY: stress
stress: kernel tests ## random operations, data verified (MINUTES= HOST= SEED=)
	@tools/stress --minutes $(MINUTES) --host $(HOST) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: kernel tests ## compare with Debian 13's 6.12 (RUNS=; CHART=1 draws the README's charts)
	@tools/bench --runs $(RUNS) $(if $(CHART),--chart)

.PHONY: coverage
coverage: build/linux ## fuzz, and show which lines of the new files are reached (FUZZ=seconds)
	@tools/coverage $(if $(FUZZ),--seconds $(FUZZ))

.PHONY: mutate
mutate: ## break the new code in every way of tests/mutants; do the tests notice?
	@tools/mutate

.PHONY: deb
deb: build/linux ## Debian packages of the patched kernel, in build/deb
	@tools/deb

.PHONY: deb-check
deb-check: selftests ## install and boot them, run the tests there
	@tools/deb-check

.PHONY: debian-patches
debian-patches: build/linux ## the series as Debian's linux source package takes it
	@tools/debian-patches

.PHONY: upstream-tests
upstream-tests: ## run the selftests of Debian 13's 6.12 on the kernel
	@tools/upstream-tests

.PHONY: snp-host
snp-host: ## the emulated SEV-SNP host, build/snp-host/qemu-system-x86_64
	@tools/snp-host

.PHONY: boot-snp-host
boot-snp-host: snp-host ## a shell on a kernel on the emulated SNP host (KERNEL= INITRD= APPEND=)
	@tools/boot-snp-host --kernel '$(KERNEL)' $(if $(INITRD),--initrd '$(INITRD)') --append '$(APPEND)'

.PHONY: check-snp-host
check-snp-host: snp-host ## is it one? test kernels, and Debian 13's kernel as it is
	@tools/check-snp-host

.PHONY: clean
clean: ## remove what was built; keep build/linux and downloads
	@tools/clean

build/linux:
	@tools/tree
