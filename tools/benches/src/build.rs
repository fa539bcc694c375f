//! What is compared, built as it is deployed.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use local::binaries::{Profile, build_functions};

/// All that is compared.
pub(crate) struct Programs {
    pub(crate) floor: Program,
    pub(crate) limit: Program,
    pub(crate) naive: Program,
    pub(crate) bridge: Program,
    /// An earlier build of the bridge.
    pub(crate) earlier: Option<Program>,
    pub(crate) node: Option<Program>,
    pub(crate) python: Option<Program>,
    /// What is missing, and why.
    pub(crate) left_out: Vec<String>,
    /// The folder with the bridge's functions.
    pub(crate) functions: PathBuf,
    /// Where bench may put files: in cargo's target folder.
    pub(crate) target: PathBuf,
}

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    /// What is uploaded, before it is zipped.
    pub(crate) bytes: u64,
    pub(crate) runs_on: Platform,
}

/// What stands below a program's own code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Platform {
    /// A binary that calls nothing.
    Alone,
    /// A binary with Mozilla's roots compiled in.
    CompiledRoots,
    /// A binary that reads the system's roots.
    SystemRoots,
    /// A language's runtime, which reads them too and takes its time to start.
    Interpreter,
}

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

impl Programs {
    /// Builds what is compared; the bridge's own functions only when no folder with them is given.
    pub(crate) fn build(functions: Option<PathBuf>, earlier: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let functions = match functions {
            Some(folder) => folder,
            None => build_functions(Profile::Release)?,
        };
        // Inside cargo's target folder, wherever that is: this program is in `release` there.
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("this program is not where cargo puts it")?.join("naive");
        let cargo = |package: &str, name: &str, runs_on| Program::binary(name, cargo_build(package, &target)?, runs_on);
        let mut left_out = Vec::new();
        Ok(Self {
            floor: cargo("hello", "floor", Platform::Alone)?,
            limit: cargo("limit", "limit", Platform::CompiledRoots)?,
            naive: cargo("naive", "naive", Platform::SystemRoots)?,
            bridge: Program::binary("**bridge**", functions.join("rail"), Platform::CompiledRoots)?,
            earlier: match earlier {
                Some(folder) => Some(Program::binary("bridge, earlier", folder.join("rail"), Platform::CompiledRoots)?),
                None => None,
            },
            node: or_left_out(node(&target), "Node + Powertools", &mut left_out),
            python: or_left_out(python(&target), "Python + Powertools", &mut left_out),
            left_out,
            functions,
            target,
        })
    }
}

impl Program {
    fn binary(name: &str, binary: PathBuf, runs_on: Platform) -> Result<Self, Box<dyn Error>> {
        let found = binary.metadata().map_err(|error| format!("{}: {error}", binary.display()))?;
        Ok(Self { name: name.to_owned(), bytes: found.len(), binary, runs_on })
    }

    /// A program in another language, started by a script.
    fn script(name: String, folder: &Path, start: &str, bytes: u64) -> Result<Self, Box<dyn Error>> {
        let binary = folder.join("bootstrap");
        fs::write(&binary, format!("#!/bin/sh\ncd '{}' || exit\n{start}\n", folder.display()))?;
        fs::set_permissions(&binary, Permissions::from_mode(0o755))?;
        Ok(Self { name, binary, bytes, runs_on: Platform::Interpreter })
    }
}

fn or_left_out(built: Result<Program, Box<dyn Error>>, name: &str, left_out: &mut Vec<String>) -> Option<Program> {
    built.inspect_err(|error| left_out.push(format!("{name} is left out: {error}"))).ok()
}

/// One at a time: built together, `hello` would get the features that `naive` wants of the crates they share.
fn cargo_build(package: &str, target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "-p", package, "--target-dir"]).arg(target);
    run(cargo.current_dir(Path::new(SOURCES).join("naive")))?;
    Ok(target.join("release").join(package))
}

/// Bundled and minified, as SAM and the CDK do by default.
fn node(target: &Path) -> Result<Program, Box<dyn Error>> {
    let node = ask("node", &["-p", "process.execPath"])?;
    let version = ask("node", &["--version"])?;
    let folder = copied("node", target)?;
    run(Command::new("npm")
        .args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&folder))?;
    // Powertools' documentation has this line: some of its packages still call `require`.
    let require = "--banner:js=import{createRequire}from'node:module';const require=createRequire(import.meta.url);";
    run(Command::new("node_modules/.bin/esbuild")
        .args(["bootstrap.mjs", "--bundle", "--minify", "--platform=node", "--format=esm"])
        .args(["--main-fields=module,main", "--log-level=error", "--outfile=out/bootstrap.mjs", require])
        .current_dir(&folder))?;
    let bytes = folder.join("out/bootstrap.mjs").metadata()?.len();
    let name = format!("Node {} + Powertools", version.trim_start_matches('v'));
    Program::script(name, &folder, &format!("exec '{node}' out/bootstrap.mjs"), bytes)
}

fn python(target: &Path) -> Result<Program, Box<dyn Error>> {
    let python = ask("python3", &["-c", "import sys; print(sys.executable)"])?;
    let version = ask("python3", &["-c", "import platform; print(platform.python_version())"])?;
    let folder = copied("python", target)?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
            "--no-warn-conflicts",
        ])
        .args(["--upgrade", "--target", ".", "--requirement", "requirements.txt"])
        .current_dir(&folder))?;
    // Lambda's own client wants an address without a scheme.
    let start = format!(
        "export AWS_LAMBDA_RUNTIME_API=\"${{AWS_LAMBDA_RUNTIME_API#http://}}\"\nexec '{python}' -m awslambdaric app.handler"
    );
    Program::script(format!("Python {version} + Powertools"), &folder, &start, size(&folder)?)
}

/// A folder of sources, copied to where dependencies may be installed beside them.
fn copied(name: &str, target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let folder = target.join(name);
    fs::create_dir_all(&folder)?;
    for file in fs::read_dir(Path::new(SOURCES).join(name))? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    Ok(folder)
}

fn size(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

/// What a program prints.
fn ask(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
        false => Err(format!("`{program}` failed ({})", output.status).into()),
    }
}

/// Runs another program of this package, whose tables belong to the same report.
pub(crate) fn run_beside<'p>(
    program: &str,
    arguments: impl IntoIterator<Item = &'p PathBuf>,
) -> Result<(), Box<dyn Error>> {
    println!();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--release", "--locked", "--quiet", "--bin", program, "--manifest-path"]);
    cargo.arg(Path::new(SOURCES).join("Cargo.toml")).arg("--").args(arguments);
    match cargo.stdin(Stdio::null()).status()? {
        status if status.success() => Ok(()),
        status => Err(format!("`{program}` failed ({status})").into()),
    }
}

/// Runs a command to its end; what it prints goes to stderr.
pub(crate) fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("`{program}` failed ({status})").into()),
    }
}
