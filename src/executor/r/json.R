# The lines of the protocol as R values, and back.

# Strings, punctuation, and words: numbers, true, false, null, NaN, Infinity.
TOKEN <- "\"[^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+\"|[][{}:,]|[^][{}:,\"\\s]++"
EXACT <- 2^53 # a double holds every whole number below it

# A record is a named list; a list of one kind is a vector, in which null is NA; elsewhere null is NULL.
decode <- function(line) {
  Encoding(line) <- "bytes" # else each token would be looked for from the beginning
  starts <- gregexpr(TOKEN, line, perl = TRUE, useBytes = TRUE)[[1L]]
  tokens <- substring(line, starts, starts + attr(starts, "match.length") - 1L)
  first <- substr(tokens, 1L, 1L)
  kind <- rep("d", length(tokens))
  kind[first %in% c("[", "]", "{", "}", ":", ",")] <- "p"
  kind[first == "\""] <- "s"
  words <- match(tokens, c("null", "true", "false"), 0L)
  kind[words == 1L] <- "n"
  kind[words > 1L] <- "b"
  text <- tokens
  strings <- which(kind == "s")
  text[strings] <- substr(tokens[strings], 2L, nchar(tokens[strings], "bytes") - 1L)
  Encoding(text) <- "UTF-8"
  for (i in strings[grepl("\\", tokens[strings], fixed = TRUE, useBytes = TRUE)])
    text[i] <- unescaped(text[i])
  numbers <- which(kind == "d")
  number <- double(length(tokens))
  number[numbers] <- number_of(text[numbers])
  whole <- numbers[grepl("^-?[0-9]+$", text[numbers])]
  for (i in whole[abs(number[whole]) >= EXACT])
    if (sprintf("%.0f", number[i]) != text[i])
      stop("the whole number ", text[i], " is none that R holds exactly", call. = FALSE)
  kind[whole[abs(number[whole]) <= .Machine$integer.max]] <- "i"
  is_end <- first == "]" & kind == "p"
  ends <- which(is_end)
  ended <- cumsum(is_end) # up to each token
  begun <- cumsum((first == "[" | first == "{") & kind == "p")

  scalar <- function(i) switch(kind[i],
    s = text[i], i = as.integer(number[i]), d = number[i], b = tokens[i] == "true", NULL)
  vector_of <- function(items) {
    kinds <- kind[items]
    known <- unique(kinds[kinds != "n"])
    value <- if (!length(known)) rep(NA, length(items))
      else if (identical(known, "s")) text[items]
      else if (identical(known, "b")) tokens[items] == "true"
      else if (identical(known, "i")) as.integer(number[items])
      else if (all(known %in% c("i", "d"))) number[items]
      else return(lapply(items, scalar))
    value[kinds == "n"] <- NA
    value
  }
  at <- 1L
  value <- function() {
    i <- at
    at <<- i + 1L
    if (kind[i] != "p") return(scalar(i))
    if (first[i] == "{") {
      names <- character()
      values <- list()
      while (first[at] != "}" || kind[at] != "p") {
        if (first[at] == "," && kind[at] == "p") at <<- at + 1L
        names <- c(names, text[at])
        at <<- at + 2L # the name and its colon
        values <- c(values, list(value()))
      }
      at <<- at + 1L
      return(structure(values, names = names))
    }
    end <- ends[ended[i] + 1L]
    if (begun[end] == begun[i]) { # nothing nested
      at <<- end + 1L
      if (end == i + 1L) return(list())
      return(vector_of(seq(i + 1L, end - 1L, 2L)))
    }
    values <- list()
    while (first[at] != "]" || kind[at] != "p") {
      if (first[at] == "," && kind[at] == "p") at <<- at + 1L
      values[[length(values) + 1L]] <- list(value())
    }
    at <<- at + 1L
    lapply(values, `[[`, 1L)
  }
  value()
}

unescaped <- function(text) {
  own <- eval(parse(text = paste0("\"", text, "\""), keep.source = FALSE, encoding = "UTF-8"))
  enc2utf8(own)
}

number_of <- function(text) {
  text[text == "Infinity"] <- "Inf"
  text[text == "-Infinity"] <- "-Inf"
  as.numeric(text)
}

# The JSON of a value; `place` says where it stands in what was returned.
encode <- function(value, place = "") {
  if (is.null(value)) return("null")
  if (inherits(value, "POSIXlt")) value <- as.POSIXct(value)
  if (is.list(value)) {
    items <- unclass(value)
    names <- names(items)
    if (is.null(names)) {
      own <- vapply(seq_along(items), function(i) encode(items[[i]], paste0(place, "[[", i, "]]")), "")
      return(paste0("[", paste(own, collapse = ","), "]"))
    }
    check_names(names, place)
    own <- vapply(seq_along(items), function(i) encode(items[[i]], paste0(place, "$", names[i])), "")
    return(record_of(names, own))
  }
  if (!is.atomic(value)) stop(unkept(value, place), call. = FALSE)
  extent <- dim(value)
  if (length(extent) > 2L)
    stop("an array of ", length(extent), " dimensions", at_place(place), ": a result has vectors, matrices, lists and data frames", call. = FALSE)
  own <- texts_of(value, place)
  if (length(own) == 1L) return(own)
  if (length(extent) == 2L) { # a list of its rows
    rows <- vapply(seq_len(extent[1L]), function(i)
      paste0("[", paste(own[i + extent[1L] * (seq_len(extent[2L]) - 1L)], collapse = ","), "]"), "")
    return(paste0("[", paste(rows, collapse = ","), "]"))
  }
  names <- names(value)
  if (is.null(names)) return(paste0("[", paste(own, collapse = ","), "]"))
  check_names(names, place)
  record_of(names, own)
}

record_of <- function(names, values) {
  if (!length(names)) return("{}")
  paste0("{", paste(quoted(names, ""), values, sep = ":", collapse = ","), "}")
}

check_names <- function(names, place) {
  if (any(is.na(names) | names == ""))
    stop("some elements have a name and some have none", at_place(place), ": name all of them, or none", call. = FALSE)
  if (anyDuplicated(names))
    stop("the name \"", names[anyDuplicated(names)], "\" is there twice", at_place(place), call. = FALSE)
}

at_place <- function(place) if (nzchar(place)) paste0(" in $value", place) else ""

unkept <- function(value, place)
  paste0("a ", class(value)[1L], at_place(place), " cannot be a result: return numbers, texts, vectors, lists and data frames")

# The JSON of each element of a vector.
texts_of <- function(value, place) {
  if (!length(value)) return(character())
  if (is.factor(value)) value <- as.character(value)
  else if (inherits(value, "Date")) value <- format(value, "%Y-%m-%d")
  else if (inherits(value, "POSIXt")) value <- iso_time(as.POSIXct(value))
  else if (is.object(value) && !inherits(value, c("table", "noquote", "AsIs")))
    stop(unkept(value, place), "; as.numeric() and as.character() turn it into one", call. = FALSE)
  none <- is.na(value)
  own <- switch(typeof(value),
    logical = ifelse(value, "true", "false"),
    integer = sprintf("%d", value),
    double = decimal(value),
    character = quoted(value, place),
    stop(unkept(value, place), call. = FALSE))
  if (is.double(value)) none <- none & !is.nan(value)
  own[none] <- "null"
  own
}

# 17 digits tell each number from all others. A number with a fraction of zero has it, so that it is no whole number.
decimal <- function(value) {
  own <- sprintf("%.17g", value)
  plain <- is.finite(value) & !grepl("[.e]", own)
  own[plain] <- paste0(own[plain], ".0")
  own[is.nan(value)] <- "NaN"
  own[value == Inf] <- "Infinity"
  own[value == -Inf] <- "-Infinity"
  own
}

iso_time <- function(value) {
  seconds <- if (any(unclass(value) %% 1 != 0, na.rm = TRUE)) "%OS6" else "%S"
  own <- paste0(format(value, paste0("%Y-%m-%dT%H:%M:", seconds), tz = "UTC"), "Z")
  own[is.na(value)] <- NA
  own
}

quoted <- function(text, place) {
  text <- as.character(text)
  if (!all(validEnc(text)))
    stop("a text", at_place(place), " is not UTF-8: iconv() turns it into that", call. = FALSE)
  text <- enc2utf8(text)
  text <- gsub("\\", "\\\\", text, fixed = TRUE)
  text <- gsub("\"", "\\\"", text, fixed = TRUE)
  if (any(grepl("[\001-\037]", text, perl = TRUE, useBytes = TRUE)))
    for (code in 1:31)
      text <- gsub(intToUtf8(code), sprintf("\\u%04x", code), text, fixed = TRUE)
  paste0("\"", text, "\"")
}
