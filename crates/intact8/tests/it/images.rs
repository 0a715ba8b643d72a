//! Images through the command: folders of classes, tables, single images, and what is wrong with them.

use crate::bad_input::message;
use crate::command::json;
use crate::{Run, Scratch, fixture, intact8};
use intact8::Tensor;
use intact8::data::read_npz;
use std::path::Path;

/// Writes the bundled images as PGM files, which hold plain bytes, into folders by class; returns the folder.
fn digits(scratch: &Scratch, file: &str, n: usize) -> String {
    let arrays = read_npz(fixture("digits", file).as_ref()).unwrap();
    let images = arrays["input"].whole().unwrap();
    let labels = arrays.get("labels").map(|labels| labels.whole().unwrap());
    let folder = scratch.path(file.trim_end_matches(".npz"));
    for (idx, image) in images.values::<f32>().unwrap().chunks_exact(64).take(n).enumerate() {
        let class =
            labels.as_ref().map_or(String::new(), |labels| labels.values::<i64>().unwrap()[idx].to_string());
        let pixels: Vec<u8> = image.iter().map(|&value| (value * 255.0).round() as u8).collect();
        let path = Path::new(&folder).join(class).join(format!("{idx:03}.pgm"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, [b"P5 8 8 255\n", &pixels[..]].concat()).unwrap();
    }
    folder
}

fn quantize(scratch: &Scratch, calib: &str, eval: &str, more: &[&str]) -> Run {
    let (onnx, save) = (fixture("digits", "model.onnx"), scratch.path("m"));
    let args = ["quantize", &onnx, "--calib", calib, "--eval", eval, "--save", &save, "--std", "255"];
    intact8(&[&args[..], more].concat())
}

#[test]
fn a_folder_of_images_leads_to_the_result_of_an_array() {
    let scratch = Scratch::new();
    let (calib, eval) = (digits(&scratch, "calib.npz", 256), digits(&scratch, "eval.npz", 797));
    let run = quantize(&scratch, &calib, &eval, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let steps = "resized to cover 8x8, middle 8x8, bilinear, grey, nchw";
    let expected = [
        format!("{calib}: 256 images, {steps}"),
        format!("{eval}: 797 images, {steps}"),
        format!("{eval}: 10 classes, from 0 = \"0\" to 9 = \"9\""),
    ];
    assert_eq!(run.stderr.lines().take(3).collect::<Vec<_>>(), expected);
    assert!(run.stdout.starts_with("input: uint8 0..255 → f32 0..1\n"), "{}", run.stdout);
    let report = json(&scratch, "m_report.json");
    assert_eq!(report["goals"][0]["original"].as_f64().map(|top1| (top1 * 797.0).round()), Some(793.0));
    assert_eq!(report["fingerprints"].as_array().map(Vec::len), Some(3));
    let trials = |run: &Run| run.stdout.lines().take(6).map(str::to_owned).collect::<Vec<String>>();
    // The same samples as a table, in another order of the files, and continued.
    let table: String = (0..797)
        .rev()
        .map(|idx| {
            let labels = read_labels();
            format!("eval/{}/{idx:03}.pgm,{}\n", labels[idx], labels[idx])
        })
        .collect();
    let table = scratch.text("eval.csv", &table).display().to_string();
    let of_table = quantize(&scratch, &calib, &table, &[]);
    assert_eq!(of_table.code, 0, "{}", of_table.stderr);
    assert_eq!(trials(&of_table)[1], trials(&run)[1]);
    let again = quantize(&scratch, &calib, &table, &["--resume"]);
    assert_eq!((again.code, &trials(&again)[..2]), (0, &trials(&of_table)[..2]), "{}", again.stderr);
    // A changed image is other data.
    let first = format!("{}/000.pgm", read_labels()[0]);
    std::fs::write(Path::new(&eval).join(first), [b"P5 8 8 255\n", &[7; 64][..]].concat()).unwrap();
    let changed = quantize(&scratch, &calib, &table, &["--resume"]);
    assert!(changed.code == 1 && changed.stderr.contains("journal"), "{}", changed.stderr);
}

fn read_labels() -> Vec<i64> {
    let labels = read_npz(fixture("digits", "eval.npz").as_ref()).unwrap()["labels"].whole().unwrap();
    labels.values::<i64>().unwrap().to_vec()
}

#[test]
fn images_are_run_compared_and_scored_as_arrays_are() {
    let scratch = Scratch::new();
    let eval = digits(&scratch, "eval.npz", 60);
    let (onnx, output) = (fixture("digits", "model.onnx"), scratch.path("o.npz"));
    let one = Path::new(&eval).join("7/000.pgm");
    let one =
        if one.exists() { one } else { Path::new(&eval).join(read_labels()[0].to_string()).join("000.pgm") };
    let one = one.display().to_string();
    for (input, n) in [(&eval, 60), (&one, 1)] {
        let run =
            intact8(&["run", &onnx, "--input", input, "--output", &output, "--mean", "0", "--std", "255"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(read_npz(output.as_ref()).unwrap()["logits"].layout().unwrap().1, [n, 10]);
    }
    let run =
        intact8(&["score", &onnx, "--eval", &eval, "--std", "255", "--no-bench", "--progress", "never"]);
    assert!(run.code == 0 && run.stdout.contains("top1"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn wrong_images_and_options_are_one_line() {
    let scratch = Scratch::new();
    let (calib, eval) = (digits(&scratch, "calib.npz", 8), digits(&scratch, "eval.npz", 60));
    let found = |calib: &str, eval: &str, more: &[&str]| {
        message(&scratch, &[("calib", calib), ("eval", eval)], &[more, &["-q"]].concat())
    };
    assert!(
        found(&calib, &eval, &[])
            .contains("array \"input\": is uint8, the model requires f32; pass the --mean")
    );
    let means = found(&calib, &eval, &["--mean", "0.485", "--std", "0.229"]);
    assert!(means.ends_with("multiply them by 255: --mean 123.675 --std 58.395"), "{means}");
    let raw = "--raw-bytes";
    let line = found(&calib, &eval, &[raw, "--crop", "16"]);
    assert_eq!(line, "error: calib: input \"input\": takes images of 8x8, and the options make them 16x16");
    let line = found(&calib, &eval, &[raw, "--resize", "6", "--crop", "8"]);
    assert!(
        line.ends_with(
            ".pgm: has 6x6 pixels, fewer than the 8x8 that are cut out; state --resize, or a smaller --crop"
        ),
        "{line}"
    );
    let line = found(&calib, &eval, &[raw, "--channels", "bgr"]);
    assert!(line.ends_with("has 1 channels in the layout nchw, and --channels bgr makes 3"), "{line}");
    let line = found(&calib, &calib, &[raw]);
    assert_eq!(line, "error: calib: has no array \"labels\", which the metric requires");
    let classes = scratch.text("classes.txt", &(0..30).rev().map(|n| format!("{n}\n")).collect::<String>());
    let line = found(&calib, &eval, &[raw, "--classes", &classes.display().to_string()]);
    assert!(line.contains("is none of the classes 0 to 9 of the model's first output"), "{line}");
    let table = scratch.text("eval.csv", "file,label\neval/0/none.pgm,1\n").display().to_string();
    assert!(found(&calib, &table, &[raw]).ends_with("eval/0/none.pgm is no file"));
    let run = quantize(&scratch, &calib, &eval, &["--resize", "8y8"]);
    assert!(run.code == 2 && run.stderr.contains("must be a number of pixels or WxH"), "{}", run.stderr);
    std::fs::create_dir(Path::new(&eval).join("empty")).unwrap();
    assert!(
        found(&calib, &eval, &[raw])
            .ends_with("empty: is the folder of a class and holds no image; remove it, or add images")
    );
}

/// A PNG that claims so many pixels, with the checksums that decoders check.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let checksum = |bytes: &[u8]| {
        let step = |sum: u32, &byte: &u8| {
            (0..8).fold(
                sum ^ u32::from(byte),
                |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
            )
        };
        !bytes.iter().fold(u32::MAX, step)
    };
    let chunk = |kind: &[u8], content: &[u8]| {
        let checked = [kind, content].concat();
        [&(content.len() as u32).to_be_bytes()[..], &checked, &checksum(&checked).to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let empty = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &empty), &chunk(b"IEND", &[])]
        .concat()
}

#[test]
fn images_that_need_too_much_memory_are_refused_at_once() {
    let scratch = Scratch::new();
    let image = scratch.path("bomb.png");
    let onnx = fixture("digits", "model.onnx");
    let output = scratch.path("o.npz");
    let with = |bytes: &[u8], more: &[&str]| {
        std::fs::write(&image, bytes).unwrap();
        let args = ["run", &onnx, "--input", &image, "--output", &output, "--raw-bytes"];
        let run = intact8(&[&args[..], more].concat());
        assert_eq!((run.code, run.stderr.lines().count()), (1, 2), "{}", run.stderr);
        run.stderr.lines().last().unwrap().to_owned()
    };
    let line = with(&bomb(20_000, 20_000), &[]);
    assert!(
        line.contains("bomb.png: has 20000x20000 pixels, which need 1200000000 bytes; at most 89478485"),
        "{line}"
    );
    let line = with(&bomb(u32::MAX >> 1, u32::MAX >> 1), &[]);
    assert!(line.contains("bomb.png: "), "{line}");
    // A column of pixels that a shorter side makes huge.
    let column = [&b"P5 1 60000 255\n"[..], &[0; 60_000]].concat();
    let line = with(&column, &["--resize", "16384", "--crop", "8"]);
    assert!(line.contains("bomb.png: has 1x60000 pixels and would be resized to 16384x983040000"), "{line}");
}

#[test]
fn calibration_needs_no_labels_and_no_evaluation() {
    let scratch = Scratch::new();
    let calib = digits(&scratch, "calib.npz", 40);
    let (onnx, save) = (fixture("digits", "model.onnx"), scratch.path("m"));
    let run = intact8(&["quantize", &onnx, "--calib", &calib, "--std", "255", "--no-eval", "--save", &save]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("calib: 40 images, resized to cover 8x8"), "{}", run.stderr);
    // By its answers, the original needs no labels either.
    let run = quantize(&scratch, &calib, &calib, &["--metric", "sqnr>=15"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn safetensors_are_read_as_npz_files_are() {
    let scratch = Scratch::new();
    let arrays = read_npz(fixture("digits", "eval.npz").as_ref()).unwrap();
    let [input, labels] = ["input", "labels"].map(|name| arrays[name].whole().unwrap());
    let written = |name: &str, input: &Tensor, labels: &Tensor| {
        let (x, y) = (input.to_le_bytes(), labels.to_le_bytes());
        let header = format!(
            "{{\"input\":{{\"dtype\":\"{}\",\"shape\":{:?},\"data_offsets\":[0,{}]}},\
             \"labels\":{{\"dtype\":\"I64\",\"shape\":{:?},\"data_offsets\":[{},{}]}}}}",
            input.dtype().name().to_uppercase(),
            input.shape(),
            x.len(),
            labels.shape(),
            x.len(),
            x.len() + y.len()
        );
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &x, &y].concat();
        let path = scratch.path(name);
        std::fs::write(&path, file).unwrap();
        path
    };
    let quantize = |data: &str| {
        let (onnx, save) = (fixture("digits", "model.onnx"), scratch.path("m"));
        let run = intact8(&["quantize", &onnx, "--calib", data, "--eval", data, "--save", &save]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        (run.stdout.lines().take(2).map(str::to_owned).collect::<Vec<_>>(), run.stderr)
    };
    let whole = quantize(&written("e.safetensors", &input, &labels));
    let doubles = input.values::<f32>().unwrap().iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let doubles = Tensor::new(input.shape(), doubles);
    let path = written("d.safetensors", &doubles, &labels);
    let (lines, stderr) = quantize(&path);
    assert_eq!((&*lines[0], &lines[1]), ("input: f64 0..1 → f32 0..1", &whole.0[1]));
    assert!(
        stderr.starts_with(&format!("{path}: array \"input\": is f64, and is cast to f32\n")),
        "{stderr}"
    );
    // A folder with a file for each batch.
    std::fs::create_dir(scratch.path("batches")).unwrap();
    let rows = |tensor: &Tensor, n: usize| intact8::data::trimmed(tensor, 0, 797, n);
    written("batches/0.safetensors", &rows(&input, 400), &rows(&labels, 400));
    written("batches/1.SAFETENSORS", &rows(&input, 397), &rows(&labels, 397));
    quantize(&scratch.path("batches"));
}
