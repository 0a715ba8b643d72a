//! A compiler, a linker and an emulator for 64-bit ARM from packages of Debian, in a folder of their own: nothing is
//! installed, and no rights are needed.
//!
//! Programs of the packages run by the loader of the packages, since their C library may be newer than that of the
//! system.

use super::{Toolchain, program};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use xshell::{Shell, cmd};

/// The suite whose compiler is new enough.
const SUITE: &str = "sid";

/// What the tests need; the packages that these need are added.
const PACKAGES: [&str; 6] = [
    "rustc",
    "qemu-user",
    "binutils-aarch64-linux-gnu",
    "libstd-rust-dev:arm64",
    "libc6-dev:arm64",
    "libgcc-s1:arm64",
];

/// What they ask for but the tests do not need: C compilers and headers.
const LEFT_OUT: [&str; 6] =
    ["binutils", "gcc", "libc-dev", "libc-dev-bin", "libc-gconv-modules-extra", "linux-libc-dev"];

/// The toolchain in `target/arm/debian`, which is fetched if it is not there.
pub(super) fn fetched(sh: &Shell) -> anyhow::Result<Toolchain> {
    let is_possible = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    ensure!(is_possible, "they are used on Linux on x86-64 only");
    let folder = sh.current_dir().join("target/arm/debian");
    let [root, programs] = ["root", "programs"].map(|name| folder.join(name));
    // The programs are written last.
    if !sh.path_exists(&programs) {
        ["apt-cache", "apt-get", "dpkg-deb"].into_iter().try_for_each(|name| program(name).map(drop))?;
        sh.remove_path(&folder)?;
        fetch(sh, &folder, &root)?;
        complete(sh, &root)?;
        write_programs(sh, &root, &programs)?;
    }
    Ok(Toolchain {
        rustc: Some(programs.join("rustc")),
        linker: programs.join("ld"),
        linker_flavor: Some("ld"),
        emulator: root.join("usr/bin/qemu-aarch64"),
        libraries: root,
    })
}

/// Downloads the packages with lists and a cache of their own, and unpacks them.
fn fetch(sh: &Shell, folder: &Path, root: &Path) -> anyhow::Result<()> {
    let [packages, lists, cache] = ["packages", "lists/partial", "cache"].map(|name| folder.join(name));
    for folder in [root, &packages, &lists, &cache] {
        sh.create_dir(folder)?;
    }
    let sources = folder.join("sources.list");
    sh.write_file(&sources, source(sh)?)?;
    let settings = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={}", folder.join("lists").display()),
        format!("Dir::Cache={}", cache.display()),
        "Acquire::Languages=none".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
        "APT::Architectures::=arm64".to_owned(),
    ];
    let options: Vec<&str> = settings.iter().flat_map(|setting| ["-o", setting]).collect();
    let options = &options[..];
    cmd!(sh, "apt-get {options...} --quiet=2 update").run()?;
    let names = needed(sh, options)?;
    let _folder = sh.push_dir(&packages);
    cmd!(sh, "apt-get {options...} --quiet=2 download {names...}").quiet().ignore_stdout().run()?;
    for package in sh.read_dir(&packages)? {
        cmd!(sh, "dpkg-deb --extract {package} {root}").quiet().run()?;
    }
    sh.remove_path(&packages)?;
    Ok(())
}

/// The line of a list of sources: the server that this system has for Debian, with the suite.
fn source(sh: &Shell) -> anyhow::Result<String> {
    let mut files = vec!["/etc/apt/sources.list".into()];
    files.extend(sh.read_dir("/etc/apt/sources.list.d").unwrap_or_default());
    let texts: Vec<String> = files.iter().filter_map(|file| sh.read_file(file).ok()).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let is_server = |word: &&str| word.contains("://") && word.trim_end_matches('/').ends_with("/debian");
    let server = words.find(is_server).context("the sources of apt name no server of Debian")?;
    Ok(format!("deb [arch=amd64,arm64] {server} {SUITE} main\n"))
}

/// The names of all packages to unpack.
fn needed(sh: &Shell, options: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut new: Vec<String> = PACKAGES.map(str::to_owned).to_vec();
    while !new.is_empty() {
        names.extend(new.iter().cloned());
        let answer = cmd!(sh, "apt-cache {options...} --important depends {new...}").quiet().read()?;
        let found = answer.lines().filter_map(|line| line.split_once("Depends: ")).map(|(_, name)| name);
        // A name in brackets is not that of a package.
        let found: BTreeSet<&str> =
            found.filter(|name| !name.starts_with('<') && !is_left_out(name)).collect();
        new = found.into_iter().filter(|name| !names.contains(*name)).map(str::to_owned).collect();
    }
    Ok(names)
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name.trim_end_matches(":arm64"))
}

/// Adds the links that other packages would make.
fn complete(sh: &Shell, root: &Path) -> anyhow::Result<()> {
    let _folder = sh.push_dir(root);
    cmd!(sh, "ln -sfn usr/lib lib").quiet().run()?;
    cmd!(sh, "ln -sfn libgcc_s.so.1 usr/lib/aarch64-linux-gnu/libgcc_s.so").quiet().run()?;
    Ok(())
}

/// Writes the compiler and the linker as scripts.
fn write_programs(sh: &Shell, root: &Path, programs: &Path) -> anyhow::Result<()> {
    let root = root.display();
    let own = format!("{root}/usr/lib/x86_64-linux-gnu");
    let target = format!("{root}/usr/lib/aarch64-linux-gnu");
    let loaded = format!("exec {own}/ld-linux-x86-64.so.2 --library-path {own} {root}/usr/bin");
    let compiler = format!("#!/bin/sh\n{loaded}/rustc --sysroot {root}/usr \"$@\"\n");
    // The linker is called without a C compiler, which would add the start and the end of a program.
    let linker = format!(
        "#!/bin/sh\n{loaded}/aarch64-linux-gnu-ld --sysroot={root} -L{target} \
         -dynamic-linker /lib/ld-linux-aarch64.so.1 --defsym=__dso_handle=0 \
         {target}/Scrt1.o {target}/crti.o \"$@\" {target}/crtn.o\n"
    );
    for (name, script) in [("rustc", compiler), ("ld", linker)] {
        let path = programs.join(name);
        sh.write_file(&path, script)?;
        cmd!(sh, "chmod +x {path}").quiet().run()?;
    }
    Ok(())
}
