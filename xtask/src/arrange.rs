//! Puts a wasm's functions in the order in which they compress best.
//!
//! What is delivered is compressed, and gzip looks back no further than 32 KB: what is alike has to stand close
//! together. Decides the order alone; what a function does, and what it is called outside, stays.

use std::collections::{BTreeMap, VecDeque};

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// How far back gzip looks, with some room for what stands between.
const WINDOW_BYTES: usize = 30_000;

/// What more functions than these have in common says nothing about any of them.
const HOLDERS_MAX: usize = 2_000;

/// What a function costs beside its bytes: among tiny ones chance would decide.
const OVERHEAD_BYTES: usize = 8;

/// How many bytes must be the same to count.
const PIECE_BYTES: usize = 8;

/// The same wasm, its functions in another order.
pub(crate) fn arrange(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut order = Order::default();
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if matches!(import?.ty, TypeRef::Func(_)) {
                        order.imported += 1;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.as_bytes()),
            _ => {}
        }
    }
    order.places = Similar::of(&bodies).order();
    order.numbers = vec![0; bodies.len()];
    for (number, place) in (order.imported..).zip(&order.places) {
        order.numbers[*place] = number;
    }
    let mut module = Module::new();
    order.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

/// The new order of functions.
#[derive(Default)]
struct Order {
    /// How many functions come from outside; they keep their numbers.
    imported: u32,
    /// Which function stands where.
    places: Vec<usize>,
    /// The new number of each.
    numbers: Vec<u32>,
}

impl Reencode for Order {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        let own = function.checked_sub(self.imported);
        Ok(own.map_or(function, |own| self.numbers[own as usize]))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        let types: Vec<u32> = section.into_iter().collect::<Result<_, _>>()?;
        for place in &self.places {
            functions.function(types[*place]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        let bodies: Vec<_> = section.into_iter().collect::<Result<_, _>>()?;
        for place in self.places.clone() {
            utils::parse_function_body(self, code, bodies[place].clone())?;
        }
        Ok(())
    }
}

/// What functions have in common.
struct Similar {
    /// The length of each.
    lengths: Vec<usize>,
    /// By function: the pieces that others have too, by number.
    pieces: Vec<Vec<usize>>,
    /// By piece: which functions have it.
    holders: Vec<Vec<usize>>,
}

impl Similar {
    fn of(bodies: &[&[u8]]) -> Self {
        let mut found: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (function, body) in bodies.iter().enumerate() {
            for piece in body.windows(PIECE_BYTES) {
                let holders = found.entry(piece).or_default();
                if holders.last() != Some(&function) {
                    holders.push(function);
                }
            }
        }
        let holders: Vec<Vec<usize>> = found
            .into_values()
            .filter(|holders| (2..HOLDERS_MAX).contains(&holders.len()))
            .collect();
        let mut pieces = vec![Vec::new(); bodies.len()];
        for (piece, holders) in holders.iter().enumerate() {
            for function in holders {
                pieces[*function].push(piece);
            }
        }
        Self {
            lengths: bodies.iter().map(|body| body.len()).collect(),
            pieces,
            holders,
        }
    }

    /// Takes next, each time, what has most in common with what stands within the window, for its length.
    fn order(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.lengths.len()).collect();
        let mut order = Vec::with_capacity(left.len());
        let mut window = Window {
            similar: self,
            functions: VecDeque::new(),
            bytes: 0,
            seen: vec![0; self.holders.len()],
            common: vec![0; self.lengths.len()],
        };
        while let Some(at) = window.next(&left) {
            let function = left.remove(at);
            order.push(function);
            window.push(function);
        }
        order
    }
}

/// The functions that gzip still sees.
struct Window<'a> {
    similar: &'a Similar,
    functions: VecDeque<usize>,
    bytes: usize,
    /// By piece: how many functions of the window have it.
    seen: Vec<usize>,
    /// By function: how many of its pieces are in the window.
    common: Vec<usize>,
}

impl Window<'_> {
    /// Which of those that are left is best. The first of equals, so that the same wasm gives the same order.
    fn next(&self, left: &[usize]) -> Option<usize> {
        let rate = |function: usize| {
            let bytes = self.similar.lengths[function] + OVERHEAD_BYTES;
            (self.common[function], bytes)
        };
        let mut best: Option<(usize, (usize, usize))> = None;
        for (at, function) in left.iter().enumerate() {
            let (common, bytes) = rate(*function);
            if best.is_none_or(|(_, (most, of))| common * of > most * bytes) {
                best = Some((at, (common, bytes)));
            }
        }
        best.map(|(at, _)| at)
    }

    fn push(&mut self, function: usize) {
        for piece in &self.similar.pieces[function] {
            self.seen[*piece] += 1;
            if self.seen[*piece] == 1 {
                for holder in &self.similar.holders[*piece] {
                    self.common[*holder] += 1;
                }
            }
        }
        self.functions.push_back(function);
        self.bytes += self.similar.lengths[function];
        while self.bytes > WINDOW_BYTES && self.functions.len() > 1 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(function) = self.functions.pop_front() else {
            return;
        };
        self.bytes -= self.similar.lengths[function];
        for piece in &self.similar.pieces[function] {
            self.seen[*piece] -= 1;
            if self.seen[*piece] == 0 {
                for holder in &self.similar.holders[*piece] {
                    self.common[*holder] -= 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        EntityType, ExportKind, ExportSection, Function, ImportSection, Instruction, TypeSection,
    };
    use wasmparser::{ExternalKind, Operator};

    use super::*;

    /// One function from outside, and for each number given one that is exported, calls the one before it and then
    /// says its number so often.
    fn module(numbers: &[i32]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("outside", "function", EntityType::Function(0));
        let mut functions = FunctionSection::new();
        let mut exports = ExportSection::new();
        let mut code = CodeSection::new();
        for (before, number) in (0..).zip(numbers) {
            functions.function(0);
            exports.export(&format!("f{before}"), ExportKind::Func, before + 1);
            let mut body = Function::new([]);
            body.instruction(&Instruction::Call(before));
            for _ in 0..20 {
                body.instruction(&Instruction::I32Const(*number));
                body.instruction(&Instruction::Drop);
            }
            body.instruction(&Instruction::End);
            code.function(&body);
        }
        let mut module = Module::new();
        module.section(&types);
        module.section(&imports);
        module.section(&functions);
        module.section(&exports);
        module.section(&code);
        module.finish()
    }

    /// By export: its function's place, the number that it says, and whom it calls.
    fn exports(wasm: &[u8]) -> BTreeMap<String, (u32, i32, u32)> {
        let mut bodies = Vec::new();
        let mut places = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export.unwrap();
                        assert_eq!(export.kind, ExternalKind::Func);
                        places.push((export.name.to_owned(), export.index));
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let operators = body.get_operators_reader().unwrap();
                    let operators: Vec<_> = operators.into_iter().map(Result::unwrap).collect();
                    let [
                        Operator::Call { function_index },
                        Operator::I32Const { value },
                        ..,
                    ] = operators[..]
                    else {
                        panic!("another body: {operators:?}");
                    };
                    bodies.push((value, function_index));
                }
                _ => {}
            }
        }
        let told = |place: u32| bodies[place as usize - 1];
        places
            .into_iter()
            .map(|(name, place)| (name, (place, told(place).0, told(place).1)))
            .collect()
    }

    #[test]
    fn what_is_alike_stands_together_and_does_what_it_did() {
        let numbers = [70_001, 80_002, 70_001, 80_002, 70_001];
        let arranged = arrange(&module(&numbers)).unwrap();
        let exports = exports(&arranged);
        let place = |own: usize| exports[&format!("f{own}")].0;
        for (own, number) in numbers.iter().enumerate() {
            let (_, said, called) = exports[&format!("f{own}")];
            assert_eq!(said, *number);
            assert_eq!(called, own.checked_sub(1).map_or(0, place));
        }
        assert_eq!([place(0), place(2), place(4)], [1, 2, 3]);
        assert_eq!(arranged, arrange(&module(&numbers)).unwrap());
    }

    #[test]
    fn what_is_no_wasm_is_refused() {
        assert!(arrange(b"\0asm of another kind").is_err());
    }
}
