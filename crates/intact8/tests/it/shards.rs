//! Calibration and scoring in shards: the bytes of one run, whatever the number of shards and the order in which they are merged.

use crate::sharing::save_random;
use crate::{Run, Scratch, command, fixture, intact8};
use ::intact8::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// A kind of model: its text, and the shapes of its inputs with the number of samples in place of 0.
struct Kind {
    name: &'static str,
    text: &'static str,
    inputs: &'static [(&'static str, &'static [usize])],
    options: &'static [&'static str],
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "vision",
        text: "model m opset 17\n%x = input : f32[N,3,8,8]\n%w = const splat(1.0) : f32[6,3,3,3]\n\
               %b = const splat(0.1) : f32[6]\n%a = Conv(%x, %w, %b) {pads = [1, 1, 1, 1]} @conv\n%r = Relu(%a)\n\
               %d = const splat(1.0) : f32[6,1,3,3]\n%e = Conv(%r, %d) {group = 6} @depthwise\n\
               %p = GlobalAveragePool(%e)\n%f = Flatten(%p)\n%v = const splat(1.0) : f32[6,4]\n\
               %y = MatMul(%f, %v) @fc\nreturn %y\n",
        inputs: &[("x", &[0, 3, 8, 8])],
        options: &[],
    },
    Kind {
        name: "recurrent",
        text: "model m opset 17\n%x = input : f32[5,N,4]\n%w = const splat(1.0) : f32[1,16,4]\n\
               %r = const splat(1.0) : f32[1,16,4]\n%s, %h = LSTM(%x, %w, %r) {hidden_size = 4} @lstm\n\
               %v = const splat(1.0) : f32[4,3]\n%y = MatMul(%h, %v) @fc\nreturn %y\n",
        inputs: &[("x", &[5, 0, 4])],
        options: &["--batch-axis", "1"],
    },
    Kind {
        name: "transformer",
        text: "model m opset 17\n%x = input : f32[N,6,8]\n%q.w = const splat(1.0) : f32[8,8]\n\
               %k.w = const splat(1.0) : f32[8,8]\n%v.w = const splat(1.0) : f32[8,8]\n\
               %q = MatMul(%x, %q.w) @q\n%k = MatMul(%x, %k.w) @k\n%v = MatMul(%x, %v.w) @v\n\
               %t = Transpose(%k) {perm = [0, 2, 1]}\n%s = MatMul(%q, %t) @scores\n%a = Softmax(%s) {axis = -1}\n\
               %c = MatMul(%a, %v) @context\n%z = Add(%c, %x) @add\nreturn %z\n",
        inputs: &[("x", &[0, 6, 8])],
        options: &[],
    },
    Kind {
        name: "detector",
        text: "model m opset 17\n%x = input : f32[1,3,12,12]\n%w = const splat(1.0) : f32[8,3,3,3]\n\
               %a = Conv(%x, %w) {pads = [1, 1, 1, 1], strides = [2, 2]} @stem\n%g = Sigmoid(%a)\n\
               %m = Mul(%a, %g) @silu\n%u = const splat(1.0) : f32[4,8,1,1]\n%boxes = Conv(%m, %u) @boxes\n\
               %o = const splat(1.0) : f32[2,8,1,1]\n%l = Conv(%m, %o) @classes\n%scores = Sigmoid(%l)\n\
               %y = Concat(%boxes, %scores) {axis = 1} @concat\nreturn %y\n",
        inputs: &[("x", &[0, 3, 12, 12])],
        options: &[],
    },
    Kind {
        name: "regression",
        text: "model m opset 17\n%x = input : f32[N,1,9,9]\n%w = const splat(1.0) : f32[8,1,5,5]\n\
               %a = Conv(%x, %w) {pads = [2, 2, 2, 2]} @first\n%t = Tanh(%a)\n%v = const splat(1.0) : f32[4,8,3,3]\n\
               %b = Conv(%t, %v) {pads = [1, 1, 1, 1]} @second\n%y = DepthToSpace(%b) {blocksize = 2}\nreturn %y\n",
        inputs: &[("x", &[0, 1, 9, 9])],
        options: &[],
    },
    Kind {
        name: "state",
        text: "model m opset 17\n%x = input : f32[3,N,4]\n%h0 = input : f32[1,N,4]\n%w = const splat(1.0) : f32[1,12,4]\n\
               %r = const splat(1.0) : f32[1,12,4]\n%s, %h = GRU(%x, %w, %r, _, _, %h0) {hidden_size = 4} @gru\n\
               %v = const splat(1.0) : f32[4,2]\n%y = MatMul(%h, %v) @fc\nreturn %y, %h\n",
        inputs: &[("x", &[3, 0, 4]), ("h0", &[1, 0, 4])],
        options: &["--batch-axis", "1"],
    },
];

const N_SAMPLES: usize = 23;

/// The arrays of a kind: most values are common, and some are far from all others, so that there are clipping candidates.
fn data(kind: &Kind, scratch: &Scratch) -> String {
    let array = |(seed, (name, shape)): (usize, &(&'static str, &[usize]))| {
        let shape: Vec<usize> = shape.iter().map(|&dim| if dim == 0 { N_SAMPLES } else { dim }).collect();
        let value = |idx: usize| {
            let common = ((idx * 7919 + seed * 31) % 1009) as f32 / 500.0 - 1.0;
            if idx % 301 == 7 { 40.0 * common } else { common }
        };
        (*name, Tensor::new(&shape, (0..shape.iter().product()).map(value).collect()))
    };
    let arrays: Vec<(&str, Tensor)> = kind.inputs.iter().enumerate().map(array).collect();
    scratch.npz("calib.npz", &arrays)
}

pub(crate) fn succeeds(args: &[&str]) -> String {
    let Run { code, stdout, stderr } = intact8(args);
    assert_eq!(code, 0, "{args:?}: {stderr}");
    stdout
}

/// A calibration in `n` shards, merged in another order for each pass; the file and the passes that were made.
fn in_shards(scratch: &Scratch, of: &[&str], feeding: &[&str], n: usize) -> (String, Vec<String>) {
    let state = scratch.path(&format!("all-{n}.stats"));
    let printed = succeeds(&[&["calibrate"], of, feeding, &["--choices", "-o", &state]].concat());
    let mut next = printed.lines().last().unwrap().to_owned();
    let mut passes = Vec::new();
    while next != "complete" {
        passes.push(next.strip_prefix("next: ").unwrap().to_owned());
        let part = |shard: usize| scratch.path(&format!("part-{n}-{shard}.stats"));
        for shard in 1..=n {
            let (shard, part) = (format!("{shard}/{n}"), part(shard));
            let of_shard = ["--stats", &state, "--shard", &shard, "-o", &part];
            succeeds(&[&["calibrate"], &of[..3], feeding, &of_shard].concat());
        }
        // A permutation that differs from pass to pass.
        let step = (1..=n).filter(|step| gcd(*step, n) == 1).nth(passes.len() % 2).unwrap_or(1);
        let mut files: Vec<String> = (0..n).map(|idx| part((idx * step + passes.len()) % n + 1)).collect();
        files.insert(passes.len() % (n + 1), state.clone());
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        succeeds(&[&["merge"], &files[..], &["-o", &state]].concat());
        let go_on = ["--stats", &state, "--choices", "-o", &state];
        let printed = succeeds(&[&["calibrate"], &of[..3], feeding, &go_on].concat());
        next = printed.lines().last().unwrap().to_owned();
    }
    (state, passes)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The contents of the files in a folder, without those that hold times or the command line.
fn contents(scratch: &Scratch, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(scratch.path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let named = files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()));
    let is_told =
        |name: &str| !["_report.html", "_report.json", "_intact8.toml"].iter().any(|end| name.ends_with(end));
    named.filter(|(name, _)| is_told(name)).collect()
}

#[test]
fn shards_give_the_bytes_of_one_run_for_six_kinds_of_models() {
    let mut all_passes: Vec<String> = Vec::new();
    for kind in &KINDS {
        let scratch = Scratch::new();
        let model = save_random(&scratch, kind.text);
        let calib = data(kind, &scratch);
        let feeding = [&["--batch", if kind.name == "detector" { "1" } else { "2" }], kind.options].concat();
        let save = scratch.path("one/m");
        let args = ["quantize", &model, "--calib", &calib, "--no-eval", "--save", &save];
        succeeds(&[&args, &feeding[..]].concat());
        let expected = contents(&scratch, "one");
        assert!(expected.len() >= 4, "{:?}", expected.keys());
        let of = [&model, "--calib", &calib, "--prefer", "most-int8"];
        let whole = scratch.path("whole.stats");
        let printed = succeeds(&[&["calibrate"], &of[..], &feeding, &["-o", &whole]].concat());
        assert_eq!(printed.lines().last(), Some("complete"));
        for n in [1, 2, 3, 7] {
            let (state, passes) = in_shards(&scratch, &of, &feeding, n);
            let folder = format!("shards-{n}");
            let save = scratch.path(&format!("{folder}/m"));
            let quantized = ["--calib", &calib, "--no-eval", "--calibration", &state, "--save", &save];
            // The configuration is that of the file, so nothing else is preferred.
            let args = [&["quantize", &model, "--progress", "never"], &quantized[..], &feeding].concat();
            let output = command().args(&args).output().unwrap();
            assert!(output.status.success(), "{}: {}", kind.name, String::from_utf8_lossy(&output.stderr));
            let found = contents(&scratch, &folder);
            assert_eq!(
                found.keys().collect::<Vec<_>>(),
                expected.keys().collect::<Vec<_>>(),
                "{}",
                kind.name
            );
            for (name, found) in &found {
                assert!(*found == expected[name], "{}: {n} shards: {name} differs", kind.name);
            }
            assert_eq!(passes[0], "observation");
            all_passes.extend(passes);
        }
    }
    all_passes.sort();
    all_passes.dedup();
    assert!(all_passes.contains(&"bias correction".to_owned()), "{all_passes:?}");
    assert!(all_passes.contains(&"clipping".to_owned()), "{all_passes:?}");
}

#[test]
fn the_shard_of_a_process_is_that_of_its_variables() {
    let (scratch, model, calib) =
        (Scratch::new(), fixture("digits", "model.onnx"), fixture("digits", "calib.npz"));
    let merged: Vec<Vec<u8>> = [
        ("RANK", "WORLD_SIZE"),
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
        ("JOB_COMPLETION_INDEX", "JOB_COMPLETION_COUNT"),
    ]
    .map(|(index, of)| {
        let parts = ["0", "1"].map(|shard| {
            let part = scratch.path(&format!("{index}-{shard}.stats"));
            let args = ["calibrate", &model, "--calib", &calib, "--shard", "auto", "-o", &part];
            let output = command().args(args).env(index, shard).env(of, "2").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            part
        });
        let all = scratch.path(&format!("{index}.stats"));
        succeeds(&["merge", &parts[1], &parts[0], "-o", &all]);
        std::fs::read(all).unwrap()
    })
    .to_vec();
    assert!(merged.iter().all(|file| *file == merged[0]));
    let Run { code, stderr, .. } =
        intact8(&["calibrate", &model, "--calib", &calib, "--shard", "auto", "-o", &scratch.path("p")]);
    assert_eq!(code, 2);
    assert!(stderr.contains("--shard: auto: none of the variables RANK, "), "{stderr}");
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let (scratch, digits, hard) =
        (Scratch::new(), fixture("digits", "model.onnx"), fixture("digits-hard", "model.onnx"));
    let calib = fixture("digits", "calib.npz");
    let part = |name: &str, model: &str, shard: &str, more: &[&str]| {
        let path = scratch.path(name);
        succeeds(&[&["calibrate", model, "--calib", &calib, "--shard", shard, "-o", &path], more].concat());
        path
    };
    let first = part("first", &digits, "1/2", &[]);
    let second = part("second", &digits, "2/2", &[]);
    let message = |args: &[&str]| {
        let Run { code, stderr, .. } = intact8(args);
        assert_eq!(code, 1, "{args:?} {stderr}");
        stderr.trim_end().to_owned()
    };
    let all = scratch.path("all");
    let merge = |files: &[&str]| message(&[&["merge"], files, &["-o", &all]].concat());
    assert_eq!(merge(&[&first]), "error: shard 2/2 is missing; make and add them");
    assert_eq!(
        merge(&[&first, &second, &first]),
        format!("error: {first}: is shard 1/2, as is {first}; omit one of them")
    );
    let of_model = part("hard", &hard, "2/2", &[]);
    let with_options = [
        part("float", &digits, "2/2", &["--no-correct-bias"]),
        part("batch", &digits, "2/2", &["--batch", "5"]),
        part("memory", &digits, "2/2", &["--memory", "1G"]),
    ];
    assert!(merge(&[&first, &of_model]).ends_with(": is of another model; use what belongs together"));
    let expected =
        ["another configuration", " batches, and not ", "a calibration with --memory 4096M, and not 1024M"];
    for (other, expected) in with_options.iter().zip(expected) {
        let message = merge(&[&first, other]);
        assert!(message.contains(expected) && message.contains(other), "{message}");
    }
    assert!(!Path::new(&all).exists());
    succeeds(&["merge", &second, &first, "-o", &all]);
    assert!(
        merge(&[&digits]).contains("is no such file; this intact8 reads \"intact8 calibration"),
        "{}",
        merge(&[&digits])
    );

    // The file of one model is not used for another, nor an incomplete one for a result.
    let use_of = |model: &str, more: &[&str]| {
        let args =
            ["quantize", model, "--calib", &calib, "--no-eval", "--progress", "never", "--calibration", &all];
        let save = scratch.path("out");
        let output = command().args([&args[..], &["--save", &save], more].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(use_of(&hard, &[]).1.contains("all: is of another model; use what belongs together"));
    assert!(use_of(&digits, &["--batch", "5"]).1.contains(" batches, and not "));
    let (code, incomplete) = use_of(&digits, &[]);
    assert_eq!(code, Some(1));
    assert!(incomplete.contains("all: is not complete: the next pass is "), "{incomplete}");
    assert_eq!(use_of(&digits, &["--no-equalize"]).0, Some(2));

    // A part of a later pass goes on from one file.
    let printed =
        succeeds(&["calibrate", &digits, "--calib", &calib, "--stats", &all, "--choices", "-o", &all]);
    assert!(printed.starts_with("next: "), "{printed}");
    let later = [1, 2]
        .map(|shard| part(&format!("later-{shard}"), &digits, &format!("{shard}/2"), &["--stats", &all]));
    assert!(
        merge(&[&later[0], &later[1]]).contains("goes on from a calibration that is not among the files")
    );
    assert!(merge(&[&all, &later[0], &second]).contains("goes on from another calibration"));
    let truncated = std::fs::read(&later[0]).unwrap();
    std::fs::write(&later[0], &truncated[..truncated.len() / 2]).unwrap();
    assert!(
        merge(&[&all, &later[0], &later[1]]).contains("later-1: is damaged or incomplete; make it again")
    );
}

/// The batches at both ends are the same, so that only the pass over all of them shows the difference.
#[test]
fn a_pass_over_other_data_is_refused() {
    let (scratch, model) = (Scratch::new(), fixture("digits", "model.onnx"));
    let input = |changed: bool| {
        let value = |idx: usize| {
            ((idx * 7919) % 1009) as f32 / 1009.0 + if changed && idx == 5 * 64 { 0.5 } else { 0.0 }
        };
        Tensor::new(&[12, 1, 8, 8], (0..12 * 64).map(value).collect())
    };
    let [calib, other] =
        [false, true].map(|changed| scratch.npz(&format!("{changed}.npz"), &[("input", input(changed))]));
    let (all, part) = (scratch.path("all"), scratch.path("part"));
    let shard = |calib: &str, known: &[&str]| {
        let args =
            ["calibrate", &model, "--calib", calib, "--batch", "2", "--no-balance", "--no-fit-rounding"];
        let args = if known.is_empty() { &args[..] } else { &args[..6] };
        succeeds(&[args, known, &["--shard", "1/1", "-o", &part]].concat())
    };
    shard(&calib, &[]);
    succeeds(&["merge", &part, "-o", &all]);
    while !shard(&calib, &["--stats", &all]).contains("bias correction") {
        succeeds(&["merge", &part, &all, "-o", &all]);
    }
    shard(&other, &["--stats", &all]);
    let Run { code, stderr, .. } = intact8(&["merge", &part, &all, "-o", &all]);
    assert_eq!(code, 1);
    assert!(stderr.contains("the pass has read other data than the one before"), "{stderr}");
}

/// The script of the examples, with a stand-in for `sbatch` that runs the tasks of an array in turn.
#[cfg(unix)]
#[test]
fn the_script_for_slurm_gives_the_bytes_of_one_run() {
    use std::os::unix::fs::PermissionsExt;
    let (scratch, model, calib) =
        (Scratch::new(), fixture("digits", "model.onnx"), fixture("digits", "calib.npz"));
    let sbatch = "#!/usr/bin/env bash\nset -eu\nfor word in \"$@\"; do case $word in --array=*) last=${word#--array=0-};; esac; done\n\
                  for task in $(seq 0 \"$last\"); do\n\
                  SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$((last + 1)) SLURM_ARRAY_TASK_MIN=0 bash -c \"${!#}\"\ndone\n";
    let stand_in = scratch.text("sbatch", sbatch);
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_intact8"), scratch.path("intact8")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scale/slurm.sh");
    let folders = std::env::var("PATH").unwrap();
    let out = scratch.path("out");
    let output = crate::program("bash")
        .env("PATH", format!("{}:{folders}", scratch.path("")))
        .arg(script)
        .args([&model, &calib, "3", &out, "--batch", "8"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let save = scratch.path("one");
    let args = ["quantize", &model, "--calib", &calib, "--no-eval", "--batch", "8", "--save", &save];
    assert!(command().args(args).output().unwrap().status.success());
    for name in ["_scale_offset_record.txt", "_final_config.json", "_deploy_model.onnx"] {
        let [found, expected] = [format!("{out}/model{name}"), format!("{save}{name}")]
            .map(|path| std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
        assert!(found == expected, "{name} differs");
    }
}
