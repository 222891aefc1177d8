# The user's functions: sourced, checked and called.

home <- getwd() # the job's folder
files <- list() # the environment of each file
sourced_in <- NULL # the job's folder, if calls have folders of their own

# Sources a file once. What it sources itself goes into the same environment, as if it were the global one.
environment_of <- function(file) {
  if (is.null(files[[file]])) {
    if (!file.exists(file)) stop("there is no file ", file, call. = FALSE)
    around <- new.env(parent = globalenv())
    own <- new.env(parent = around)
    around$source <- function(file, local = FALSE, ...) {
      if (!is.null(sourced_in)) {
        here <- setwd(sourced_in)
        on.exit(setwd(here))
      }
      into <- if (is.environment(local)) local else if (isTRUE(local)) parent.frame() else own
      base::source(file, local = into, ...)
    }
    here <- setwd(home) # another file may have gone elsewhere
    on.exit(if (getwd() == home) setwd(here))
    base::source(file, local = own)
    register_methods(own)
    files[[file]] <<- own
  }
  files[[file]]
}

# What base calls finds methods in the global environment, or registered: in no environment of a file.
register_methods <- function(own) {
  for (name in ls(own)) if (is.function(own[[name]])) for (at in gregexpr(".", name, fixed = TRUE)[[1L]]) {
    generic <- substr(name, 1L, at - 1L)
    class <- substring(name, at + 1L)
    is_known <- nzchar(generic) && (generic %in% c("Ops", "Math", "Summary", "Complex") || !is.null(get0(generic, own, mode = "function")))
    if (is_known && nzchar(class)) registerS3method(generic, class, own[[name]], envir = own)
  }
}

# The files that a file sources by literal names, and these in turn.
sourced <- function(file, seen = character()) {
  found <- character()
  look <- function(code) {
    if (is.call(code)) {
      called <- code[[1L]]
      if (is.call(called) && length(called) == 3L && identical(called[[2L]], quote(base))) called <- called[[3L]]
      if (is.name(called) && as.character(called) %in% c("source", "sys.source")) {
        arguments <- as.list(code)[-1L]
        name <- if (is.null(names(arguments)) || !"file" %in% names(arguments)) arguments[[1L]] else arguments$file
        # With chdir, a file's names count from its own folder.
        if (is.character(name)) for (path in unique(c(name, file.path(dirname(file), name))))
          if (file.exists(path)) found <<- c(found, path)
      }
    }
    if (is.recursive(code)) for (part in as.list(code)) if (!missing(part)) look(part)
  }
  look(parse(file, keep.source = FALSE))
  for (name in setdiff(unique(found), seen)) seen <- unique(c(seen, name, sourced(name, c(seen, name))))
  seen
}

# A function, to be called by name.
prepared <- function(place) {
  file <- place[[1L]]
  name <- place[[2L]]
  own <- environment_of(file)
  found <- get0(name, envir = own, mode = "function", inherits = FALSE)
  if (is.null(found)) {
    all <- Filter(function(each) is.function(own[[each]]), ls(own))
    near <- all[agrepl(name, all, max.distance = 0.2)]
    hint <- if (length(near)) paste0("; did you mean '", near[1L], "'?")
      else paste0(" (it has: ", if (length(all)) paste(all, collapse = ", ") else "none", ")")
    stop(file, " has no function '", name, "'", hint, call. = FALSE)
  }
  holder <- new.env(parent = baseenv())
  assign(name, found, holder)
  parameters <- as.list(formals(args(found)))
  list(name = name, holder = holder, parameters = parameters)
}

# What the function takes of `also` besides the loops' points; complains if it cannot be called with these.
check_crunch <- function(f, loops, also) {
  takes <- names(f$parameters)
  called <- paste0(f$name, "(", paste(takes, collapse = ", "), ") is called with ", paste(loops, collapse = ", "))
  if ("..." %in% takes) {
    before <- takes[seq_len(match("...", takes) - 1L)]
    for (loop in setdiff(loops, takes)) for (near in before[startsWith(before, loop)])
      stop(called, ": R would take '", loop, "' for the parameter '", near, "', which begins so", call. = FALSE)
  } else {
    lacks <- setdiff(loops, takes)
    if (length(lacks)) stop(called, ": it has no parameter '", lacks[1L], "'", call. = FALSE)
  }
  others <- setdiff(needed(f), c(loops, also))
  if (length(others)) stop(called, ": its parameter '", others[1L], "' gets no value", call. = FALSE)
  setdiff(intersect(also, takes), loops)
}

# Complains about a function that cannot be called with one value.
check_of_one <- function(f, what) {
  if (!length(f$parameters))
    stop(f$name, "() is called with ", what, ": it has no parameter", call. = FALSE)
  others <- setdiff(needed(f), names(f$parameters)[1L])
  if (length(others))
    stop(f$name, "(", paste(names(f$parameters), collapse = ", "), ") is called with ", what, " alone: its parameter '", others[1L], "' gets no value", call. = FALSE)
}

# The names that a final function takes; complains about parameters that nothing is for.
final_takes <- function(f, given, folded) {
  takes <- names(f$parameters)
  known <- unique(c(given, "summary", "seed", "folder"))
  for (name in setdiff(needed(f), known)) {
    why <- if (name %in% folded) "is a loop whose runs are folded into one value, so it has no point in a row"
      else "is nothing that a final call is given"
    stop(f$name, ": its parameter '", name, "' ", why, " (given: ", paste(known, collapse = ", "), ")", call. = FALSE)
  }
  unique(c(intersect(takes, known), if ("..." %in% takes) given))
}

# The parameters without a default.
needed <- function(f) {
  is_needed <- vapply(f$parameters, function(default) is.name(default) && !nzchar(as.character(default)), NA)
  setdiff(names(f$parameters)[is_needed], "...")
}

# Calls a function with arguments by name, so that an error shows the call with names rather than with values.
called <- function(f, arguments, by_name = TRUE) {
  symbols <- lapply(names(arguments), as.name)
  if (by_name) names(symbols) <- names(arguments)
  code <- as.call(c(as.name(f$name), symbols))
  eval(code, list2env(arguments, parent = f$holder))
}

reseed <- function(seed)
  set.seed(seed, kind = "L'Ecuyer-CMRG", normal.kind = "Inversion", sample.kind = "Rejection")

# What `act` returns as JSON, or its error. Warnings are printed as they come.
outcome <- function(act) {
  warned <- character()
  heard <- function(warning) {
    if (getOption("warn") >= 2L) return() # R makes an error of it
    if (is.null(findRestart("muffleWarning", warning))) return() # a condition that R does not show either
    if (getOption("warn") >= 0L) {
      said <- described("Warning", warning)
      cat(said, "\n", sep = "", file = stderr())
      if (length(warned) < 10L) warned <<- c(warned, said)
    }
    invokeRestart("muffleWarning")
  }
  failed <- function(error) list(error = paste(c(described("Error", error), warned), collapse = "\n"))
  tryCatch(withCallingHandlers(list(json = act()), warning = heard), error = failed, interrupt = failed)
}

described <- function(what, condition) {
  code <- conditionCall(condition)
  place <- if (is.null(code)) "" else paste0(" in ", substr(deparse(code, nlines = 1L)[1L], 1L, 200L), " ")
  paste0(what, place, ": ", trimws(conditionMessage(condition), "right"))
}
