# Every entry point. Each is one script in tools/, which has --help.

HOST ?= amd
KERNEL ?= build/kernel/bzImage
INITRD ?=
APPEND ?=
TESTS ?=
SET ?= all

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo 'Variables: HOST=amd|intel KERNEL=FILE INITRD=FILE APPEND="words" (boot);'
	@echo 'TESTS="name ..." SET=all|base|slow|series KERNEL=FILE (check-amd, check-intel, check-debug); JOBS=N'

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
check-debug: ## the series' own selftests on the debug kernel, AMD host (TESTS=)
	@tools/check-host --host amd --kernel build/kernel-debug/bzImage --name amd-debug --set series --scale 5 $(TESTS)

.PHONY: lint
lint: ## scripts, patches and the form of the series
	@tools/lint

.PHONY: bisect-check
bisect-check: ## build each prefix of the series, with KVM and without
	@tools/bisect-check

.PHONY: upstream-tests
upstream-tests: ## run the selftests of Debian 13's 6.12 on the kernel
	@tools/upstream-tests

.PHONY: clean
clean: ## remove what was built; keep build/linux and downloads
	@tools/clean

build/linux:
	@tools/tree
