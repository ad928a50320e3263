// An image of few pixels, enlarged, and a brush that marks some of them. What one stroke has marked is emitted as its end.
export default {
  template: `<canvas class="brush" :width="width * zoom" :height="height * zoom"></canvas>`,
  props: { src: String, width: Number, height: Number, radius: Number },
  data: () => ({ marked: new Set(), stroke: new Set(), last: null, under: null, image: null }),
  computed: {
    zoom() {
      return Math.max(1, Math.ceil(552 / Math.max(this.width, this.height)));
    },
  },
  watch: {
    src() {
      this.load();
    },
  },
  mounted() {
    const on = (name, act) => this.$el.addEventListener(name, act.bind(this));
    on("pointerdown", this.begin);
    on("pointermove", this.move);
    on("pointerup", this.end);
    on("pointercancel", this.end);
    on("pointerleave", () => ((this.under = null), this.draw()));
    this.load();
  },
  methods: {
    load() {
      const image = new Image();
      image.onload = () => {
        this.image = image;
        this.draw();
      };
      image.src = this.src;
    },
    clear() {
      this.marked = new Set();
      this.draw();
    },
    at(event) {
      const box = this.$el.getBoundingClientRect();
      return [
        ((event.clientX - box.left) / box.width) * this.width,
        ((event.clientY - box.top) / box.height) * this.height,
      ];
    },
    disc([x, y]) {
      // The pixels whose centres are within the radius, and the one under the pointer.
      const cells = [];
      for (let row = Math.floor(y - this.radius); row <= y + this.radius; row++)
        for (let column = Math.floor(x - this.radius); column <= x + this.radius; column++) {
          const inside = row >= 0 && row < this.height && column >= 0 && column < this.width;
          const under = row === Math.floor(y) && column === Math.floor(x);
          if (inside && (under || Math.hypot(column + 0.5 - x, row + 0.5 - y) <= this.radius))
            cells.push(row * this.width + column);
        }
      return cells;
    },
    begin(event) {
      if (event.button) return;
      this.$el.setPointerCapture(event.pointerId);
      this.last = this.at(event);
      this.mark(this.last);
    },
    move(event) {
      this.under = this.at(event);
      if (this.last) {
        // Events are far apart where the pointer is fast: what lies between is marked too.
        const [x, y] = this.last;
        const [dx, dy] = [this.under[0] - x, this.under[1] - y];
        const parts = Math.ceil(2 * Math.hypot(dx, dy)) || 1;
        for (let i = 1; i <= parts; i++) this.mark([x + (dx * i) / parts, y + (dy * i) / parts]);
        this.last = this.under;
      }
      this.draw();
    },
    end() {
      if (!this.last) return;
      this.last = null;
      if (this.stroke.size) this.$emit("stroke", [...this.stroke]);
      this.stroke = new Set();
    },
    mark(place) {
      if (place[0] < 0 || place[1] < 0 || place[0] >= this.width || place[1] >= this.height) return;
      for (const cell of this.disc(place)) {
        if (!this.marked.has(cell)) this.stroke.add(cell);
        this.marked.add(cell);
      }
      this.draw();
    },
    draw() {
      const pen = this.$el.getContext("2d");
      const zoom = this.zoom;
      pen.imageSmoothingEnabled = false;
      if (this.image) pen.drawImage(this.image, 0, 0, this.$el.width, this.$el.height);
      for (const cell of this.marked) {
        const [column, row] = [cell % this.width, Math.floor(cell / this.width)];
        pen.fillStyle = (column + row) % 2 ? "#e07a2f" : "#d96c1e";
        pen.fillRect(column * zoom, row * zoom, zoom, zoom);
      }
      if (this.under) {
        pen.strokeStyle = "#e07a2f";
        pen.lineWidth = 3;
        pen.beginPath();
        pen.arc(this.under[0] * zoom, this.under[1] * zoom, this.radius * zoom, 0, 2 * Math.PI);
        pen.stroke();
      }
    },
  },
};
