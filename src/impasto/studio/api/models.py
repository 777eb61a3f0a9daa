"""What requests and answers hold: the models from which the OpenAPI description is made."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from impasto.errors import InputError

PictureId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ClipId = Annotated[str, StringConstraints(pattern=r"^clip-[0-9a-f]{64}$")]
JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, StringConstraints(max_length=200)]
Group = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{1,64}$")]
State = Literal["queued", "running", "paused", "done", "stopped", "failed", "cancelled"]
PICTURE = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"  # of examples
PAINTING = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
CLIP = "clip-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
JOB = "7d793037a0760186574b0282f2f435e7"


class Request(BaseModel):
    """Base of what a client sends: unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Painting(Request):
    """One painting of a job."""

    picture: PictureId = Field(description="The painting: the id that its upload returned.")
    weight: float = Field(1.0, ge=0, le=1e6, description="Its share among several; only ratios matter.")
    mask: PictureId | None = Field(None, description="Where in the photo it is used, white on black.")


class Film(Request):
    """A clip that is painted, and which part of it."""

    model_config = ConfigDict(serialize_by_alias=True)

    clip: ClipId = Field(description="The clip: the id that its upload returned.")
    from_: float | None = Field(None, alias="from", ge=0, le=1e6, description="Where to begin, in seconds.")
    to: float | None = Field(None, gt=0, le=1e6, description="Where to end, in seconds; else at its end.")
    steadiness: float = Field(0.5, ge=0, le=1, description="How much a frame keeps of the one before.")
    every: int = Field(1, ge=1, le=4, description="Paint every so many frames; those between are warped.")


class Inputs(Request):
    """What is painted from, and how."""

    photo: PictureId | None = Field(
        None, description="The photo: the id that its upload returned. Needed unless there is a film."
    )
    film: Film | None = Field(None, description="A clip instead of a photo.")
    styles: list[Painting] = Field(min_length=1, description="The paintings.")
    protect: PictureId | None = Field(None, description="What stays the photo, white on black.")
    init_picture: PictureId | None = Field(None, description="The start, with settings.init = picture.")
    settings: dict[str, Any] = Field(
        {}, description="Fields of the settings that differ from the defaults; see /api/v1/schema."
    )
    output: dict[str, Any] = Field({}, description="Bits, quality and metadata; see /api/v1/schema.")


class NewJob(Inputs):
    """A job: a picture or a film to be painted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "full",
                    "photo": PICTURE,
                    "styles": [{"picture": PAINTING}],
                    "settings": {"size": 512, "quality": "good"},
                    "name": "evening at the lake",
                },
                {
                    "film": {"clip": CLIP, "from": 1.5, "to": 4, "steadiness": 0.5, "every": 1},
                    "styles": [{"picture": PAINTING}],
                },
            ]
        }
    )
    kind: Literal["draft", "full"] = Field(
        "full", description="A draft goes first, and ends the draft of the same client before it."
    )
    name: Name | None = Field(None, description="A name for people.")
    parent: JobId | None = Field(None, description="The job that this one varies.")
    group: Group | None = Field(None, description="A name that several jobs share.")


class Vary(Request):
    """One setting of a grid with its values."""

    setting: str = Field(max_length=40, examples=["strength"])
    values: list[Any] = Field(min_length=1, max_length=64, examples=[[0.5, 1, 2]])


class NewGrid(Request):
    """A grid: the same job with one or two settings varied."""

    job: NewJob
    vary: list[Vary] = Field(min_length=1, max_length=2, description="Rows, then columns.")


class Change(Request):
    """What can be changed of a job at any time."""

    name: Name | None = None
    star: bool | None = None


class Moment(Request):
    """A time in a clip."""

    at: float = Field(0.0, ge=0, le=1e6, description="Seconds from its beginning.", examples=[1.5])


class View(BaseModel):
    """How much of a picture is shown, and how large: parameters of a query."""

    edge: int | None = Field(None, ge=1, le=8192, description="Long edge in pixels, at most.")
    x: int | None = Field(None, ge=0, le=10**9, description="Left of a part, in pixels of the picture.")
    y: int | None = Field(None, ge=0, le=10**9, description="Top of a part.")
    width: int | None = Field(None, ge=1, le=10**9, description="Width of a part.")
    height: int | None = Field(None, ge=1, le=10**9, description="Height of a part.")

    def part(self) -> tuple[int, int, int, int] | None:
        """Return the part as (left, top, width, height); None for all of the picture.

        Raises:
            InputError: Only some of the numbers are there.
        """
        numbers = (self.x, self.y, self.width, self.height)
        if numbers == (None,) * 4:
            return None
        found = tuple(number for number in numbers if number is not None)
        if len(found) != 4:
            raise InputError("x, y, width and height go together: give all of them, or none")
        return found


class File(View):
    """In which file a result is sent; with an edge or a part, as a view for a browser."""

    format: Literal["png", "tiff", "jpeg", "webp", "avif"] | None = Field(
        None,
        description="The format of a picture, also of a film's first frame. Else a film is sent as video.",
    )
    bits: Literal["8", "16"] | None = Field(None, description="Bits per color; 16 in PNG and TIFF only.")
    quality: int | None = Field(None, ge=1, le=100, description="Of JPEG, WebP and AVIF.")
    metadata: Literal["keep", "strip", "minimal"] | None = Field(None, description="What it carries.")
    download: bool = Field(False, description="Whether a browser saves it under a name.")


class Picture(BaseModel):
    """An uploaded picture."""

    picture: str = Field(description="Its id: the SHA-256 of its bytes.", examples=[PICTURE])
    width: int
    height: int
    bits: int
    alpha: bool
    name: str
    notes: list[str] = Field(description="What of the file was ignored or could not be converted.")
    recipe: dict[str, Any] | None = Field(description="Settings and inputs, if impasto made it.")


class Clip(BaseModel):
    """An uploaded clip."""

    clip: str = Field(description="Its id, with the SHA-256 of its bytes.", examples=[CLIP])
    name: str
    width: int = Field(description="Upright, in square pixels.")
    height: int
    frames: int
    seconds: float
    rate: float = Field(description="Frames a second, on average.")
    notes: list[str] = Field(description="What is changed when it is read.")


class Error(BaseModel):
    """Why a job failed."""

    title: str
    detail: str


class Job(BaseModel):
    """A job and where it stands."""

    id: str = Field(examples=[JOB])
    number: int = Field(description="Grows with every job; `before` of the list takes it.")
    kind: Literal["draft", "look", "full"]
    state: State
    wish: str | None = Field(description="What a running job will do at its next evaluation.")
    created: float = Field(description="Seconds since 1970.")
    started: float | None
    finished: float | None
    name: str | None
    photo: str = Field(description="Of a film, its first frame before it is painted.")
    film: dict[str, Any] | None = Field(description="The film, with the name of its clip.")
    styles: list[Painting]
    protect: str | None
    init_picture: str | None
    settings: dict[str, Any]
    output: dict[str, Any]
    parent: str | None
    group: str | None
    position: int | None = Field(description="Place in the queue, 1 for the next one.")
    progress: dict[str, Any] | None
    losses: list[list[float]] = Field(description="(evaluation, loss); at most 400 points.")
    version: int = Field(description="Of the preview; grows.")
    result: dict[str, Any] | None
    error: Error | None
    star: bool
    command: str = Field(description="The command line that paints the same picture.")


class Jobs(BaseModel):
    """A list of jobs, the newest first."""

    jobs: list[Job]


class GroupOfJobs(BaseModel):
    """Jobs that were made together."""

    group: str
    jobs: list[list[Job]] = Field(description="Rows of jobs.")


class Estimate(BaseModel):
    """What a job will take."""

    seconds: float
    memory: int = Field(description="Bytes, of the whole painting process.")
    width: int
    height: int
    frames: int | None = Field(None, description="Of a film.")
    note: str | None


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["A setting is wrong"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["size: must be 1 or more, not 0"])
    field: str | None = Field(None, examples=["size"])
