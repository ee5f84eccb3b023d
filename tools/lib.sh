# shellcheck shell=bash
# Sourced by every script here: the places of things, and how to speak and fail.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export build=$top/build
export tree=$build/linux

# Build results are the same in every clone and at every time, so ccache hits.
export CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content
export CCACHE_IGNOREOPTIONS='-fmacro-prefix-map=* -ffile-prefix-map=*'
export KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC'
export KBUILD_BUILD_USER=build KBUILD_BUILD_HOST=localhost
export LC_ALL=C

export jobs=${JOBS:-$(nproc)}
export cc=gcc
if command -v ccache >/dev/null; then
	cc='ccache gcc'
fi

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

say() {
	echo "${0##*/}: $*" >&2
}

# The text between "## " marks at the top of a script is its help.
usage() {
	sed -n 's/^## \{0,1\}//p' "$0"
}

# need COMMAND PACKAGE: one clear line when a program is missing
need() {
	command -v "$1" >/dev/null || die "$1 is missing; tools/deps installs it (package $2)"
}

# need_space MIB: the file system under build/ must have this much room
need_space() {
	local free
	mkdir -p "$build"
	free=$(df -Pm "$build" | awk 'NR == 2 { print $4 }')
	((free >= $1)) || die "no room: build/ needs $1 MiB, its file system has $free MiB free"
}

need_tree() {
	[[ -d $tree/.git ]] || die "there is no build/linux; run 'make tree' first"
}

# own_apt DIR TYPE SUITE: an apt of our own under DIR that knows one suite, of
# TYPE deb or deb-src, from where the machine's apt gets Debian. The machine's
# state stays as it is. Sets the array apt_options, which apt-get needs then.
own_apt() {
	local dir=$1 type=$2 suite=$3 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$dir"/{lists/partial,cache/archives/partial}
	# shellcheck disable=SC2016 # apt expands them
	mirror=$(apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F'|' -v suite="$suite" '$1 != "Debian" { next }
			$2 == suite { uri = $3 }
			$2 ~ /^[a-z]+$/ && !any { any = $3 }
			END { print uri ? uri : any }')
	[[ $mirror ]] || die "apt knows no Debian mirror; run 'apt-get update'"
	[[ -f $keyring ]] || die "$keyring is missing (package debian-archive-keyring)"
	printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
		"$type" "$mirror" "$suite" "$keyring" >"$dir/$suite.sources"
	apt_options=(-q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dir" -o Dir::State::Lists="$dir/lists"
		-o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
	apt-get "${apt_options[@]}" update >"$dir/log" 2>&1 ||
		die "cannot reach $suite: $(grep -m 1 '^E:' "$dir/log" || echo "see $dir/log") (no network?)"
}

# stage NAME RESULTS COMMAND...: run a command with its output in the log file
# $log, tell when it is done and how long it took, and note it in RESULTS as
# tools/table reads it. A terminal sees the time run and the log's last line.
stage() {
	local name=$1 results=$2 start=$SECONDS pid status=0 result=pass
	shift 2
	echo "== $name: $*" >>"${log:?}"
	"$@" >>"$log" 2>&1 &
	pid=$!
	while [[ -t 1 ]] && kill -0 "$pid" 2>/dev/null; do
		printf '\r\033[K%-28s %4d s  %.60s' "$name" $((SECONDS - start)) "$(tail -n 1 "$log" | tr -d '\r\033')"
		sleep 1
	done
	wait "$pid" || { status=$?; result=fail; }
	[[ ! -t 1 ]] || printf '\r\033[K'
	printf '%-28s %4d s  %s\n' "$name" $((SECONDS - start)) "$result"
	printf 'build\t%s\t%s\t%d\t\n' "$name" "$result" $((SECONDS - start)) >>"$results"
	((status == 0)) || tail -n 15 "$log" | sed 's/^/    | /'
	return "$status"
}
